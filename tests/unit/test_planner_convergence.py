"""What a pass does, for every state that amphorae can be found in."""

from __future__ import annotations

from typing import Any

import pytest

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.model.tree import Tree
from hydria.planner.convergence import (
    MOST_UNDELETED,
    Activate,
    Build,
    Configure,
    Delete,
    Fence,
    Kind,
    Plan,
    Slot,
    look_again,
    plan,
    retry_delay,
)
from hydria.testing import trees as make


def tree(**attributes: Any) -> Tree:
    return Tree(make.load_balancer(**{"generation": 3, "applied_generation": 2, **attributes}))


def amphora(
    name: str,
    status: AmphoraStatus = AmphoraStatus.ALLOCATED,
    role: AmphoraRole = AmphoraRole.STANDALONE,
    applied: int = 3,
    *,
    leaving: bool = False,
    collected: bool = False,
) -> Amphora:
    return Amphora(
        id=name, load_balancer_id=make.BALANCER, status=status, role=role, applied_generation=applied,
        created_at=make.EPOCH, failover_requested=leaving, collect_at=make.EPOCH if collected else None,
    )  # fmt: skip


ALONE = Slot(AmphoraRole.STANDALONE)
MASTER, BACKUP = Slot(AmphoraRole.MASTER), Slot(AmphoraRole.BACKUP)


def outline(found: Plan) -> tuple[str, list[str], list[str], list[str]]:
    """Kind; built (role, or the id of the one whose build goes on); configured; deleted."""
    assert [action.slot for action in found.of(Activate)] == [action.slot for action in found.of(Build)]
    return (
        str(found.kind),
        [action.amphora.id if action.amphora else str(action.slot.role) for action in found.of(Build)],
        [action.amphora.id for action in found.of(Configure)],
        [action.amphora.id for action in found.of(Delete)],
    )


def fenced(found: Plan) -> list[str]:
    return [action.amphora.id for action in found.of(Fence)]


@pytest.mark.parametrize(
    ("amphorae", "expected"),
    [
        ([], ("create", ["STANDALONE"], [], [])),
        ([amphora("a", AmphoraStatus.BOOTING, applied=0)], ("create", ["a"], [], [])),
        ([amphora("a", applied=2)], ("configure", [], ["a"], [])),
        # What of it could not be served was not recorded: it is asked again.
        ([amphora("a")], ("configure", [], ["a"], [])),
        ([amphora("a", AmphoraStatus.ERROR)], ("replace", ["STANDALONE"], [], ["a"])),
        ([amphora("a", AmphoraStatus.PENDING_DELETE)], ("replace", ["STANDALONE"], [], ["a"])),
        ([amphora("a"), amphora("b", AmphoraStatus.BOOTING)], ("configure", [], ["a"], ["b"])),
        ([amphora("a"), amphora("b", AmphoraStatus.ERROR)], ("configure", [], ["a"], ["b"])),
        ([amphora("a", applied=2), amphora("b", applied=1)], ("configure", [], ["a"], ["b"])),
        ([amphora("a", applied=1), amphora("b", applied=3)], ("configure", [], ["b"], ["a"])),
        (
            [amphora("a", AmphoraStatus.ERROR), amphora("b", AmphoraStatus.BOOTING)],
            ("replace", ["b"], [], ["a"]),
        ),
        (
            [
                amphora("a", AmphoraStatus.BOOTING, applied=0),
                amphora("b", AmphoraStatus.BOOTING, applied=0),
            ],
            ("create", ["a"], [], ["b"]),
        ),
    ],
)
def test_one_amphora(amphorae: list[Amphora], expected: Any) -> None:
    assert outline(plan(tree(), amphorae)) == expected


def test_what_is_applied_is_left_alone_until_something_may_be_usable_again() -> None:
    applied = {"applied_generation": 3, "provisioning_status": ProvisioningStatus.ACTIVE}
    assert outline(plan(tree(**applied), [amphora("a")])) == ("nothing", [], [], [])
    assert outline(plan(tree(**applied), [amphora("a", applied=2)])) == ("configure", [], ["a"], [])
    again = plan(tree(retry_at=make.EPOCH, attempts=1, **applied), [amphora("a")])
    assert outline(again) == ("configure", [], ["a"], [])
    assert "could not be served" in again.reason


def test_what_failed_builds_left_is_fenced_too_since_nobody_knows_how_far_they_got() -> None:
    dead, left = amphora("a", AmphoraStatus.ERROR), amphora("b", AmphoraStatus.ERROR, applied=0)
    found = plan(tree(), [dead, left])
    assert outline(found) == ("replace", ["STANDALONE"], [], ["a", "b"])
    assert fenced(found) == ["a", "b"]
    found = plan(tree(), [left])
    assert outline(found) == ("create", ["STANDALONE"], [], ["b"])
    assert fenced(found) == ["b"]
    found = plan(tree(), [amphora("c"), left])
    assert outline(found) == ("configure", [], ["c"], ["b"])


def test_who_else_could_have_the_vip_decides_whether_it_is_plugged_from_the_start() -> None:
    assert [action.alone for action in plan(tree(), []).of(Build)] == [True]
    for others in ([amphora("a", AmphoraStatus.ERROR, applied=0)], [amphora("a", leaving=True)]):
        assert [action.alone for action in plan(tree(), others).of(Build)] == [False]


def test_what_is_fenced_and_only_waits_for_its_deletion_concerns_no_pass() -> None:
    left = amphora("b", AmphoraStatus.PENDING_DELETE, collected=True)
    assert outline(plan(tree(), [amphora("a"), left])) == ("configure", [], ["a"], [])
    assert outline(plan(tree(), [left])) == ("create", ["STANDALONE"], [], [])
    found = plan(tree(provisioning_status=ProvisioningStatus.PENDING_DELETE), [amphora("a"), left])
    assert outline(found) == ("delete", [], [], ["a"])


def test_amphorae_that_cannot_be_deleted_do_not_pile_up() -> None:
    left = [
        amphora(f"b{number}", AmphoraStatus.PENDING_DELETE, collected=True)
        for number in range(MOST_UNDELETED)
    ]
    found = plan(tree(), left)
    assert outline(found) == ("create", [], [], [])
    assert found.condition.startswith(f"{MOST_UNDELETED} of its earlier amphorae cannot be deleted")
    assert not plan(tree(), left[1:]).condition
    # What serves goes on, also where another one is wanted in its place.
    found = plan(tree(attempts=1), [*left, amphora("a", leaving=True)])
    assert outline(found) == ("replace", [], ["a"], [])


def test_one_that_is_to_be_replaced_serves_until_then() -> None:
    old = amphora("a", leaving=True)
    found = plan(tree(), [old])
    assert outline(found) == ("replace", ["STANDALONE"], [], ["a"])
    assert [action.after for action in found.of(Delete)] == [(ALONE,)]
    assert found.replaces_serving
    assert found.of(Build)[0].planned
    # A pass that failed may be followed by many more, and a boot takes its time: changes go on meanwhile.
    for found in (
        plan(tree(attempts=1), [old]),
        plan(tree(), [old, amphora("b", AmphoraStatus.BOOTING, applied=0)]),
    ):
        assert [action.best_effort for action in found.of(Configure)] == [True]
        assert [action.amphora.id for action in found.of(Configure)] == ["a"]


@pytest.mark.parametrize(
    ("amphorae", "expected"),
    [
        # The other one serves already: the pass that built it broke off.
        ([amphora("a", leaving=True), amphora("b")], ("configure", [], ["b"], ["a"])),
        # Nobody needs to go on with one that is not wanted any more.
        ([amphora("a", AmphoraStatus.BOOTING, leaving=True)], ("replace", ["STANDALONE"], [], ["a"])),
        ([amphora("a", AmphoraStatus.ERROR, leaving=True)], ("replace", ["STANDALONE"], [], ["a"])),
    ],
)
def test_failover_of_what_does_not_serve(amphorae: list[Amphora], expected: Any) -> None:
    found = plan(tree(), amphorae)
    assert outline(found) == expected
    assert not found.replaces_serving


def test_both_of_a_pair_are_replaced() -> None:
    pair = tree(topology=Topology.ACTIVE_STANDBY)
    old = [
        amphora("a", role=AmphoraRole.MASTER, leaving=True),
        amphora("b", role=AmphoraRole.BACKUP, leaving=True),
    ]
    found = plan(pair, old)
    assert outline(found) == ("replace", ["MASTER", "BACKUP"], [], ["a", "b"])
    assert [action.after for action in found.of(Delete)] == [(MASTER, BACKUP)] * 2


def test_everything_goes_with_the_load_balancer() -> None:
    amphorae = [amphora("a"), amphora("b", AmphoraStatus.BOOTING), amphora("c", AmphoraStatus.ERROR)]
    found = plan(tree(provisioning_status=ProvisioningStatus.PENDING_DELETE), amphorae)
    assert outline(found) == ("delete", [], [], ["a", "b", "c"])


def test_the_living_one_of_a_pair_is_configured_while_the_other_is_replaced() -> None:
    pair = tree(topology=Topology.ACTIVE_STANDBY)
    living = amphora("b", role=AmphoraRole.BACKUP, applied=2)
    found = plan(pair, [amphora("a", AmphoraStatus.ERROR, AmphoraRole.MASTER), living])
    assert outline(found) == ("replace", ["MASTER"], ["b"], ["a"])


def test_every_plan_says_why() -> None:
    for amphorae in ([], [amphora("a")], [amphora("a", applied=1)], [amphora("a", AmphoraStatus.ERROR)]):
        found = plan(tree(), amphorae)
        assert found.reason
        assert found.kind in Kind


def test_what_is_under_way_is_looked_at_ever_less_often() -> None:
    assert [look_again(age) for age in (0.0, 2.0, 20.0, 32.0, 1000.0)] == [5.0, 5.0, 5.0, 8.0, 10.0]


def test_the_back_off_doubles_up_to_a_bound() -> None:
    assert [retry_delay(number, 1.0, 60.0) for number in (1, 2, 3, 6, 7, 8, 10_000)] == [
        1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0,
    ]  # fmt: skip
