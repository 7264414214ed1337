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
    return Tree(make.load_balancer(generation=3, applied_generation=2, **attributes))


def amphora(
    name: str,
    status: AmphoraStatus = AmphoraStatus.ALLOCATED,
    role: AmphoraRole = AmphoraRole.STANDALONE,
    applied: int = 3,
) -> Amphora:
    return Amphora(
        id=name, load_balancer_id=make.BALANCER, status=status, role=role, applied_generation=applied,
        created_at=make.EPOCH,
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
        ([amphora("a")], ("nothing", [], [], [])),
        ([amphora("a", AmphoraStatus.ERROR)], ("replace", ["STANDALONE"], [], ["a"])),
        ([amphora("a", AmphoraStatus.PENDING_DELETE)], ("replace", ["STANDALONE"], [], ["a"])),
        ([amphora("a"), amphora("b", AmphoraStatus.BOOTING)], ("configure", [], [], ["b"])),
        ([amphora("a"), amphora("b", AmphoraStatus.ERROR)], ("configure", [], [], ["b"])),
        ([amphora("a", applied=2), amphora("b", applied=1)], ("configure", [], ["a"], ["b"])),
        ([amphora("a", applied=1), amphora("b", applied=3)], ("configure", [], [], ["a"])),
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
