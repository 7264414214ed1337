"""Flows: each builder is the table of contents of one operation; steps are in :mod:`hydria.worker.steps`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from taskflow.patterns import linear_flow, unordered_flow

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.planner.convergence import Build, Kind, Plan
from hydria.store import rows
from hydria.worker.steps import amphora as steps
from hydria.worker.steps.vip import ClaimVip, ReleaseVip
from hydria.worker.tools import Tools

# TaskFlow is not typed.
Flow: TypeAlias = Any


def build(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """The flow of a plan."""
    return _BUILDERS[plan.kind](plan, tree, tools)


def create(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """A load balancer's first amphorae."""
    flow = linear_flow.Flow("create load balancer")
    flow.add(ClaimVip(tools, tree.load_balancer))
    flow.add(*_cleared(plan, tools))
    flow.add(*_retired(plan, tools))
    flow.add(*_built_and_configured(plan, tree, tools))
    return flow


def configure(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """A new desired state for the amphorae that serve."""
    flow = linear_flow.Flow("configure load balancer")
    flow.add(*_configured(plan, tree, tools))
    flow.add(*_retired(plan, tools))
    return flow


def replace(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """Amphorae in the place of dead ones.

    What failed builds left goes first. The replacement is built then and gets the VIP last: in between the
    dead one is fenced, since whatever is left of it could still answer for the VIP. One that somebody wants
    replaced serves until the other has the VIP, too.
    """
    flow = linear_flow.Flow("replace amphorae")
    flow.add(ClaimVip(tools, tree.load_balancer))
    flow.add(*_cleared(plan, tools))
    flow.add(*_all("keep leaving amphorae", [steps.Keep(tools, one, tree) for one in plan.keep]))
    new = [_new(item, tree) for item in plan.build]
    pairs = zip(new, plan.build, strict=True)
    built = [_booted(one, item, tree, tools) for one, item in pairs]
    for one, building in zip(new, built, strict=True):
        building.add(steps.Prepare(tools, one, tree, planned=bool(plan.succeed)))
    flow.add(*_all("build amphorae", built))
    flow.add(*_retired(plan, tools))
    flow.add(*_all("commission amphorae", [steps.Commission(tools, one, tree) for one in new]))
    flow.add(*_configured(plan, tree, tools))
    flow.add(*_all("retire leaving amphorae", [steps.Retire(tools, one) for one in plan.succeed]))
    return flow


def delete(plan: Plan, tree: Tree, tools: Tools) -> Flow:
    """Everything that a load balancer had, given back."""
    flow = linear_flow.Flow("delete load balancer")
    flow.add(*_retired(plan, tools))
    flow.add(ReleaseVip(tools, tree.load_balancer))
    return flow


def nothing(_plan: Plan, _tree: Tree, _tools: Tools) -> Flow:
    """No step at all."""
    return linear_flow.Flow("nothing to do")


_BUILDERS: dict[Kind, Callable[[Plan, Tree, Tools], Flow]] = {
    Kind.CREATE: create,
    Kind.CONFIGURE: configure,
    Kind.REPLACE: replace,
    Kind.DELETE: delete,
    Kind.NOTHING: nothing,
}


def _built_and_configured(plan: Plan, tree: Tree, tools: Tools) -> Sequence[Flow]:
    flows = []
    for item in plan.build:
        amphora = _new(item, tree)
        flow = _booted(amphora, item, tree, tools)
        flow.add(steps.Commission(tools, amphora, tree))
        flows.append(flow)
    return _all("build amphorae", flows)


def _booted(amphora: Amphora, item: Build, tree: Tree, tools: Tools) -> Flow:
    flow = linear_flow.Flow(f"build amphora {amphora.id}")
    flow.add(
        steps.RecordAmphora(tools, amphora, resumed=item.resumed is not None),
        steps.CreatePorts(tools, amphora, tree),
        steps.BuildInstance(tools, amphora, tree),
        steps.AwaitAgent(tools, amphora),
    )
    return flow


def _configured(plan: Plan, tree: Tree, tools: Tools) -> Sequence[Flow]:
    return _all("configure serving amphorae", [steps.Configure(tools, one, tree) for one in plan.configure])


def _cleared(plan: Plan, tools: Tools) -> Sequence[Flow]:
    return _all("clear failed builds", [steps.Clear(tools, one) for one in plan.clear])


def _retired(plan: Plan, tools: Tools) -> Sequence[Flow]:
    return _all("retire amphorae", [steps.Retire(tools, one) for one in plan.retire])


def _all(name: str, parts: Sequence[Flow]) -> Sequence[Flow]:
    """At the same time, where there are several: TaskFlow takes its time for each flow, an empty one, too."""
    return parts if len(parts) < 2 else [unordered_flow.Flow(name).add(*parts)]


def _new(item: Build, tree: Tree) -> Amphora:
    return item.resumed or Amphora(
        id=str(uuid.uuid4()),
        load_balancer_id=tree.load_balancer.id,
        status=AmphoraStatus.BOOTING,
        role=item.role,
        created_at=rows.now(),
    )
