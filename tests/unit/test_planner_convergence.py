"""What a pass does, for every state that amphorae can be found in."""

from __future__ import annotations

from typing import Any

import pytest

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.model.tree import Tree
from hydria.planner.convergence import Kind, Plan, plan, retry_delay
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
) -> Amphora:
    return Amphora(
        id=name, load_balancer_id=make.BALANCER, status=status, role=role, applied_generation=applied,
        created_at=make.EPOCH, failover_requested=leaving,
    )  # fmt: skip


def outline(found: Plan) -> tuple[str, list[str], list[str], list[str]]:
    """Kind; built (role, or the resumed one's id); configured; retired."""
    return (
        str(found.kind),
        [item.resumed.id if item.resumed else str(item.role) for item in found.build],
        [one.id for one in found.configure],
        [one.id for one in found.retire],
    )


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
            [amphora("a", AmphoraStatus.BOOTING), amphora("b", AmphoraStatus.BOOTING)],
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


def test_what_failed_builds_left_is_ended_before_anything_is_built() -> None:
    dead, left = amphora("a", AmphoraStatus.ERROR), amphora("b", AmphoraStatus.ERROR, applied=0)
    found = plan(tree(), [dead, left])
    assert outline(found) == ("replace", ["STANDALONE"], [], ["a"])
    assert found.clear == (left,)
    found = plan(tree(), [left])
    assert (outline(found), found.clear) == (("replace", ["STANDALONE"], [], []), (left,))
    # Where nothing is to be built nobody waits for it.
    found = plan(tree(), [amphora("c"), left])
    assert (outline(found), found.clear) == (("configure", [], ["c"], ["b"]), ())


def test_one_that_is_to_be_replaced_serves_until_then() -> None:
    old = amphora("a", leaving=True)
    found = plan(tree(), [old])
    assert outline(found) == ("replace", ["STANDALONE"], [], [])
    assert (found.succeed, found.keep) == ((old,), ())
    # A pass that failed may be followed by many more.
    found = plan(tree(attempts=1), [old, amphora("b", AmphoraStatus.BOOTING)])
    assert outline(found) == ("replace", ["b"], [], [])
    assert (found.succeed, found.keep) == ((old,), (old,))


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
    assert found.succeed == ()


def test_both_of_a_pair_are_replaced() -> None:
    pair = tree(topology=Topology.ACTIVE_STANDBY)
    old = [
        amphora("a", role=AmphoraRole.MASTER, leaving=True),
        amphora("b", role=AmphoraRole.BACKUP, leaving=True),
    ]
    found = plan(pair, old)
    assert outline(found) == ("replace", ["MASTER", "BACKUP"], [], [])
    assert found.succeed == tuple(old)


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


def test_the_back_off_doubles_up_to_a_bound() -> None:
    assert [retry_delay(number, 1.0, 60.0) for number in (1, 2, 3, 6, 7, 8, 10_000)] == [
        1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0,
    ]  # fmt: skip
