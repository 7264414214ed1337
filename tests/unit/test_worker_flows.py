"""The outline of each flow: what an operation does, step by step, is a file that people read."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from taskflow import task

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus, ProvisioningStatus, Topology
from hydria.model.tree import Tree
from hydria.planner import convergence
from hydria.planner.convergence import Kind
from hydria.testing import trees
from hydria.worker import flows

GOLDEN = Path(__file__).parent.parent / "golden" / "flows"


BALANCER = trees.load_balancer(id="lb", generation=3, applied_generation=2)
PAIR = trees.load_balancer(id="lb", generation=3, applied_generation=2, topology=Topology.ACTIVE_STANDBY)
GOING = trees.load_balancer(id="lb", provisioning_status=ProvisioningStatus.PENDING_DELETE)
DONE = trees.load_balancer(id="lb", generation=3, applied_generation=3)


def amphora(
    identifier: str,
    status: AmphoraStatus = AmphoraStatus.ALLOCATED,
    role: AmphoraRole = AmphoraRole.STANDALONE,
    applied: int = 3,
    **more: Any,
) -> Amphora:
    return Amphora(
        id=identifier,
        load_balancer_id="lb",
        status=status,
        role=role,
        applied_generation=applied,
        created_at=trees.EPOCH,
        **more,
    )


OLD, PEER = amphora("old", role=AmphoraRole.MASTER), amphora("peer", role=AmphoraRole.BACKUP)
NEW = amphora("new", AmphoraStatus.BOOTING, applied=0)
DEAD = amphora("old", AmphoraStatus.ERROR)
LEFT = amphora("left", AmphoraStatus.ERROR, applied=0)
CASES = {
    "create": (BALANCER, [NEW]),
    "configure": (PAIR, [OLD, PEER]),
    "replace": (BALANCER, [DEAD, NEW]),
    "replace one of a pair": (
        PAIR,
        [
            amphora("old", AmphoraStatus.ERROR, AmphoraRole.MASTER),
            amphora("new", AmphoraStatus.BOOTING, AmphoraRole.MASTER, 0),
            PEER,
        ],
    ),
    "failover": (BALANCER, [amphora("old", failover_requested=True), NEW]),
    "replace again": (BALANCER, [DEAD, LEFT, NEW]),
    "delete": (GOING, [OLD, PEER]),
    "nothing": (DONE, [amphora("old")]),
}


def outline(part: Any, depth: int = 0) -> list[str]:
    indent = "  " * depth
    if isinstance(part, task.Task):
        return [f"{indent}{part.name}"]
    if depth and not len(part):
        return []
    kind = type(part).__module__.rpartition(".")[2].removesuffix("_flow")
    # Iterating an unordered flow has no order of its own.
    items = part if kind == "linear" else sorted(part, key=lambda item: item.name)
    return [f"{indent}{part.name} ({kind})", *(line for item in items for line in outline(item, depth + 1))]


def flow(name: str) -> Any:
    balancer, amphorae = CASES[name]
    tree, tools = Tree(balancer), SimpleNamespace()
    return flows.build(convergence.plan(tree, amphorae), tree, tools)  # type: ignore[arg-type]  # none is used


@pytest.mark.parametrize("name", CASES)
def test_outline(name: str) -> None:
    text = "\n".join(outline(flow(name))) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("HYDRIA_REGENERATE"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_kind_of_plan_has_an_outline() -> None:
    kinds = {convergence.plan(Tree(balancer), amphorae).kind for balancer, amphorae in CASES.values()}
    assert kinds == set(Kind)


def steps(part: Any) -> list[Any]:
    return [part] if isinstance(part, task.Task) else [step for item in part for step in steps(item)]


def test_who_waits_for_whom() -> None:
    """The new one takes the VIP when it is ready and the dead one is fenced; only then the old one goes."""
    after = {step.name: set(step.requires) for step in steps(flow("replace"))}
    assert after["Activate:new"] == {"Preload:new", "Fence:old"}
    assert after["Delete:old"] == set()
    after = {step.name: set(step.requires) for step in steps(flow("failover"))}
    assert after["Activate:new"] == {"Preload:new"}
    assert after["Delete:old"] == {"Activate:new"}
    after = {step.name: set(step.requires) for step in steps(flow("replace one of a pair"))}
    assert after["Configure:peer"] == set(), "the survivor waits for nobody"


def test_which_steps_need_no_engine() -> None:
    alone = {type(step).__name__ for name in CASES for step in steps(flow(name)) if step.stands_alone}
    assert alone == {"ClaimVip", "Configure", "Delete", "Fence", "Keep", "RecordAmphora"}
