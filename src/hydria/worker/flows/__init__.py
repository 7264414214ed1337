"""The flow of a plan: what a pass does, in which order; steps are in :mod:`hydria.worker.steps`.

Amphorae do not wait for each other, but where one takes over from another.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, TypeAlias

from taskflow.patterns import linear_flow, unordered_flow

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.planner.convergence import (
    Activate,
    Build,
    Configure,
    Delete,
    EnsureVip,
    Fence,
    Kind,
    Plan,
    ReleaseVip,
    Slot,
)
from hydria.store import rows
from hydria.worker.steps import build as building
from hydria.worker.steps import end, serve, vip
from hydria.worker.steps.build import Building
from hydria.worker.tools import Tools

# TaskFlow is not typed.
Flow: TypeAlias = Any

_TITLES = {
    Kind.CREATE: "create load balancer",
    Kind.CONFIGURE: "configure load balancer",
    Kind.REPLACE: "replace amphorae",
    Kind.DELETE: "delete load balancer",
    Kind.NOTHING: "nothing to do",
}


def build(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """The flow of a plan.

    First all amphorae at the same time: those that serve are configured, the dead are fenced, new ones boot.
    Then the new ones take the VIP, and only then those go that they replace.
    """
    balancer = tree.load_balancer
    new = {item.slot: _building(item, tree) for item in plan.of(Build)}
    flow = linear_flow.Flow(_TITLES[plan.kind])
    flow.add(*(vip.ClaimVip(tools, balancer) for _ in plan.of(EnsureVip)))
    flow.add(
        *_all(
            "serve, fence, build",
            [
                *(_configured(item, tree, tools) for item in plan.of(Configure)),
                *(end.Fence(tools, item.amphora, tree) for item in plan.of(Fence)),
                *(_booted(new[item.slot], item, tree, tools) for item in plan.of(Build)),
            ],
        )
    )
    flow.add(*_all("take over", _activated(plan, new, tree, tools)))
    flow.add(*_all("delete", [_deleted(item, new, tree, tools) for item in plan.of(Delete)]))
    gone = [end.Delete.named(item.amphora.id) for item in plan.of(Delete)]
    flow.add(*(vip.ReleaseVip(tools, balancer, after=gone) for _ in plan.of(ReleaseVip)))
    return flow


def _configured(item: Configure, tree: Tree, tools: Tools) -> Flow:
    step = serve.Keep if item.best_effort else serve.Configure
    return step(tools, item.amphora, tree)


def _booted(new: Building, item: Build, tree: Tree, tools: Tools) -> Flow:
    """One after the other: recorded, plugged, ordered, reached, given the state."""
    flow = linear_flow.Flow(f"build amphora {new.amphora.id}")
    before: tuple[str, ...] = ()
    for kind in (
        building.RecordAmphora,
        building.CreatePorts,
        building.OrderInstance,
        building.AwaitAgent,
    ):
        flow.add(kind(tools, new, tree, after=before))
        before = (kind.named(new.amphora.id),)
    if not new.alone:
        flow.add(serve.Preload(tools, new, tree, after=before, planned=item.planned))
    return flow


def _activated(plan: Plan, new: dict[Slot, Building], tree: Tree, tools: Tools) -> Sequence[Flow]:
    fenced = [end.Fence.named(item.amphora.id) for item in plan.of(Fence)]
    steps = []
    for item in plan.of(Activate):
        one = new[item.slot]
        last = building.AwaitAgent if one.alone else serve.Preload
        steps.append(serve.Activate(tools, one, tree, after=[last.named(one.amphora.id), *fenced]))
    return steps


def _deleted(item: Delete, new: dict[Slot, Building], tree: Tree, tools: Tools) -> Flow:
    after = tuple(serve.Activate.named(new[slot].amphora.id) for slot in item.after)
    return end.Delete(tools, item.amphora, tree, after=after, succeeded=tree.load_balancer.desired)


def _all(name: str, parts: Sequence[Flow]) -> Sequence[Flow]:
    """At the same time, where there are several: TaskFlow takes its time for each flow, an empty one, too."""
    return parts if len(parts) < 2 else [unordered_flow.Flow(name).add(*parts)]


def _building(item: Build, tree: Tree) -> Building:
    amphora = item.amphora or Amphora(
        id=str(uuid.uuid4()),
        load_balancer_id=tree.load_balancer.id,
        status=AmphoraStatus.BOOTING,
        role=item.slot.role,
        created_at=rows.now(),
    )
    return Building(amphora, resumed=item.amphora is not None, alone=item.alone)
