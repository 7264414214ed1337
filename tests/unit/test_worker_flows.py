"""The outline of each flow: what an operation does, step by step, is a file that people read."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from taskflow import task

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.model.tree import Tree
from hydria.planner.convergence import Build, Kind, Plan
from hydria.store import rows
from hydria.testing import trees
from hydria.worker import flows

GOLDEN = Path(__file__).parent.parent / "golden" / "flows"


def amphora(identifier: str, role: AmphoraRole = AmphoraRole.STANDALONE) -> Amphora:
    return Amphora(
        id=identifier,
        load_balancer_id="lb",
        status=AmphoraStatus.ALLOCATED,
        role=role,
        created_at=rows.now(),
    )


OLD, PEER = amphora("old"), amphora("peer", AmphoraRole.BACKUP)
LEFT = amphora("left")
RESUMED = Build(AmphoraRole.STANDALONE, amphora("new"))
PLANS = {
    "create": Plan(Kind.CREATE, "", build=(RESUMED,)),
    "configure": Plan(Kind.CONFIGURE, "", configure=(OLD, PEER)),
    "replace": Plan(Kind.REPLACE, "", build=(RESUMED,), configure=(PEER,), retire=(OLD,)),
    "failover": Plan(Kind.REPLACE, "", build=(RESUMED,), succeed=(OLD,), keep=(OLD,)),
    "replace again": Plan(Kind.REPLACE, "", build=(RESUMED,), retire=(OLD,), clear=(LEFT,)),
    "delete": Plan(Kind.DELETE, "", retire=(OLD, PEER)),
    "nothing": Plan(Kind.NOTHING, ""),
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


@pytest.mark.parametrize("name", PLANS)
def test_outline(name: str) -> None:
    tree = Tree(trees.load_balancer(id="lb"))
    tools: Any = SimpleNamespace()
    text = "\n".join(outline(flows.build(PLANS[name], tree, tools))) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("HYDRIA_REGENERATE"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_kind_of_plan_has_an_outline() -> None:
    assert {plan.kind for plan in PLANS.values()} == set(Kind)


def steps(part: Any) -> list[Any]:
    return [part] if isinstance(part, task.Task) else [step for item in part for step in steps(item)]


def test_which_steps_need_no_engine() -> None:
    """What takes nothing from others, and leaves nothing behind that a failure would have to undo."""
    tree = Tree(trees.load_balancer(id="lb"))
    tools: Any = SimpleNamespace()
    every = [step for plan in PLANS.values() for step in steps(flows.build(plan, tree, tools))]
    alone = {type(step).__name__ for step in every if step.stands_alone}
    assert alone == {"ClaimVip", "Clear", "Configure", "CreatePorts", "Keep", "ReleaseVip", "Retire"}
