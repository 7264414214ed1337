"""Everything below a load balancer in one request (contract 1.10), by the same rules as single creates.

:func:`read` parses, :func:`judged` completes by the rules, :func:`grown` makes the objects, :func:`shown` is
the response. Nested pools are named, so that listeners can refer to them; ids are given out when reading.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import certificates, conflicts, graph_limits, graph_policies, graph_pools, requests
from hydria.api.writing.change import new
from hydria.api.writing.health_monitor import health
from hydria.api.writing.member import judged as member_judged
from hydria.model import rules
from hydria.model.errors import NotFound, validation
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource
from hydria.model.statuses import ListenerProtocol, OperatingStatus, PoolProtocol
from hydria.model.tree import Tree
from hydria.providers.registry import Provider
from hydria.store.relations import Relations

Body = Mapping[str, object]
Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Graph:
    """Field -> value of each nested object; ids and references are filled in."""

    listeners: tuple[Values, ...]
    pools: tuple[Values, ...]
    members: tuple[Values, ...]
    monitors: tuple[Values, ...]
    policies: tuple[Values, ...]
    rules: tuple[Values, ...]
    limit_policies: tuple[Values, ...]
    limit_rules: tuple[Values, ...]


def read(call: Call, body: Body, load_balancer_id: str) -> Graph:
    """Parse the nested objects of a load balancer's body."""
    listeners = requests.records("listeners", body.get("listeners"))
    defined = graph_pools.defined(requests.records("pools", body.get("pools")), listeners)
    pools = {name: _pool(call, name, each, load_balancer_id) for name, each in defined.items()}
    ids = {name: str(values["id"]) for name, values in pools.items()}
    members, monitors = [], []
    for name, each in defined.items():
        pool_id = str(pools[name]["id"])
        for member in requests.records("members", each.get("members")):
            values = requests.nested(call, Member, member, unknown=("project_id", "tenant_id"))
            members.append({**values, "pool_id": pool_id})
        if each.get("healthmonitor") is not None:
            monitors.append(_monitor(call, each["healthmonitor"], pool_id))
    ports = [_listener(call, each, ids, load_balancer_id) for each in listeners]
    policies = [
        policy
        for body, values in zip(listeners, ports, strict=True)
        for policy in graph_policies.read(call, body, str(values["id"]), ids)
    ]
    limits = [
        graph_limits.read(call, body, str(values["id"]))
        for body, values in zip(listeners, ports, strict=True)
    ]
    return Graph(
        tuple(ports),
        tuple(pools.values()),
        tuple(members),
        tuple(monitors),
        tuple(policy.values for policy in policies),
        tuple(rule for policy in policies for rule in policy.rules),
        tuple(policy for found, _ in limits for policy in found),
        tuple(rule for _, found in limits for rule in found),
    )


def judged(
    call: Call, graph: Graph, vip_addresses: Sequence[str], vip_sg_ids: Sequence[str], *, sriov: bool = False
) -> Graph:
    """The graph completed by the rules; raises Invalid for what breaks one.

    ``sriov``: whether its flavor lets members ask for that.
    """
    deployment = call.services.deployment
    protocols = {pool["id"]: cast("PoolProtocol", pool["protocol"]) for pool in graph.pools}
    pools = [rules.pool_created(values, deployment) for values in graph.pools]
    members = [member_judged(call, values, lambda: sriov) for values in graph.members]
    monitors = [
        rules.monitor_created(values, protocols[values["pool_id"]], deployment) for values in graph.monitors
    ]
    listeners = [
        rules.listener_created(values, vip_addresses, deployment, vip_sg_ids=vip_sg_ids)
        for values in graph.listeners
    ]
    for values in listeners:
        if values["default_pool_id"] is not None:
            protocol = cast("ListenerProtocol", values["protocol"])
            rules.pool_fits_listener(protocol, protocols[values["default_pool_id"]])
    speaks = {listener["id"]: cast("ListenerProtocol", listener["protocol"]) for listener in graph.listeners}
    return Graph(
        tuple(listeners),
        tuple(pools),
        tuple(members),
        tuple(monitors),
        tuple(graph_policies.judged(values, speaks, protocols) for values in graph.policies),
        tuple(rules.rule_created(values) for values in graph.rules),
        *graph_limits.judged(graph.limit_policies, graph.limit_rules, speaks),
    )


def check_provider(provider: Provider, graph: Graph, vip_addresses: Sequence[str]) -> None:
    """Raise Unsupported for what the provider does not have: extensions, L7 policies, families of members."""
    found: tuple[tuple[type[Resource], tuple[Values, ...]], ...] = (
        (Listener, graph.listeners),
        (Pool, graph.pools),
        (L7Policy, graph.policies),
        (L7Rule, graph.rules),
        (RateLimitPolicy, graph.limit_policies),
        (RateLimitRule, graph.limit_rules),
    )
    for resource, several in found:
        for values in several:
            provider.admit_extensions(resource, values)
    with_policies = {values["listener_id"] for values in graph.policies}
    limited = {values["listener_id"] for values in graph.limit_policies}
    for values in graph.listeners:
        if values["id"] in with_policies:
            provider.admit_policies(cast("ListenerProtocol", values["protocol"]))
        if values["id"] in limited:
            provider.admit_limits(cast("ListenerProtocol", values["protocol"]))
    used = {values["default_pool_id"] for values in graph.listeners}
    for values in graph.pools:
        if values["id"] in used:
            members = [str(each["address"]) for each in graph.members if each["pool_id"] == values["id"]]
            provider.admit_families(cast("PoolProtocol", values["protocol"]), vip_addresses, members)


def counted(graph: Graph) -> dict[type[Resource], int]:
    """How many objects of each kind the creation makes, in the order of contract 1.10."""
    return {
        LoadBalancer: 1,
        Pool: len(graph.pools),
        HealthMonitor: len(graph.monitors),
        Member: len(graph.members),
        Listener: len(graph.listeners),
        L7Policy: len(graph.policies),
        L7Rule: len(graph.rules),
    }


def judge_certificates(call: Call, graph: Graph, project_id: str) -> None:
    """Raise Invalid for a reference to a certificate that cannot be used."""
    for resource, several in ((Pool, graph.pools), (Listener, graph.listeners)):
        for values in several:
            certificates.judge(call, resource, values, project_id)


def grown(balancer: LoadBalancer, graph: Graph) -> Tree:
    """The tree of a new load balancer. Raises Conflict when two of its objects collide."""
    monitored = {values["pool_id"] for values in graph.monitors}

    def start(values: Values) -> OperatingStatus:
        return OperatingStatus.OFFLINE if values["pool_id"] in monitored else OperatingStatus.NO_MONITOR

    generation = balancer.generation
    tree = Tree(
        balancer,
        tuple(new(balancer, Listener, values, generation) for values in graph.listeners),
        tuple(new(balancer, Pool, values, generation) for values in graph.pools),
        tuple(new(balancer, Member, values, generation, start(values)) for values in graph.members),
        tuple(
            new(balancer, HealthMonitor, values, generation, health(admin_up=values["admin_state_up"]))
            for values in graph.monitors
        ),
        tuple(new(balancer, L7Policy, values, generation) for values in graph.policies),
        tuple(new(balancer, L7Rule, values, generation) for values in graph.rules),
        tuple(new(balancer, RateLimitPolicy, values, generation) for values in graph.limit_policies),
        tuple(new(balancer, RateLimitRule, values, generation) for values in graph.limit_rules),
    )
    conflicts.distinct(tree.listeners)
    conflicts.distinct(tree.members)
    return tree


def shown(tree: Tree) -> dict[str, object]:
    """The whole tree as the response to its creation shows it."""
    balancer = tree.load_balancer
    body = views.body(balancer, Relations(tags=balancer.tags))
    used_by = tree.listeners_by_pool()
    pools = [_shown_pool(pool, tree, used_by.get(pool.id, ())) for pool in tree.pools]
    return {**body, "listeners": [_shown_listener(each, tree) for each in tree.listeners], "pools": pools}


def _shown_listener(listener: Listener, tree: Tree) -> dict[str, object]:
    policies = [_shown_policy(policy, tree) for policy in tree.policies_of(listener.id)]
    shown = {**_nested(listener, Relations(tags=listener.tags)), "l7policies": policies}
    limits = [_shown_limit(policy, tree) for policy in tree.limit_policies_of(listener.id)]
    return shown | ({"rate_limit_policies": limits} if limits else {})


def _shown_policy(policy: L7Policy, tree: Tree) -> dict[str, object]:
    found = [_nested(rule, Relations(tags=rule.tags)) for rule in tree.rules_of(policy.id)]
    return {**_nested(policy, Relations(tags=policy.tags)), "rules": found}


def _shown_limit(policy: RateLimitPolicy, tree: Tree) -> dict[str, object]:
    found = [_nested(rule, Relations(tags=rule.tags)) for rule in tree.limit_rules_of(policy.id)]
    return {**_nested(policy, Relations(tags=policy.tags)), "rules": found}


def _shown_pool(pool: Pool, tree: Tree, used_by: tuple[str, ...]) -> dict[str, object]:
    body = _nested(pool, Relations(tags=pool.tags, listeners=used_by))
    members = [_nested(each, Relations(tags=each.tags)) for each in tree.members_of(pool.id)]
    monitor = tree.monitor_of(pool.id)
    more: dict[str, object] = {"members": members}
    if monitor is not None:
        more["healthmonitor"] = _nested(monitor, Relations(tags=monitor.tags))
    return body | more


def _nested(item: Resource, found: Relations) -> dict[str, object]:
    body = views.body(item, found)
    return {name: value for name, value in body.items() if name not in ("loadbalancers", "healthmonitor_id")}


def _pool(call: Call, name: str, body: Body, load_balancer_id: str) -> Values:
    for mandatory in ("protocol", "lb_algorithm"):
        if body.get(mandatory) is None:
            raise validation(f"Pool definition for '{name}' missing required attribute: {mandatory}")
    unknown = ("project_id", "tenant_id", "loadbalancer_id", "listener_id")
    values = requests.nested(call, Pool, body, unknown=unknown)
    return {**values, "id": str(uuid.uuid4()), "load_balancer_id": load_balancer_id}


def _monitor(call: Call, body: object, pool_id: str) -> Values:
    given = requests.record(HealthMonitor, body)
    unknown = ("project_id", "tenant_id", "pool_id")
    return requests.nested(call, HealthMonitor, given, unknown=unknown, pool_id=pool_id)


def _listener(call: Call, body: Body, pool_ids: Mapping[str, str], load_balancer_id: str) -> Values:
    unknown = ("project_id", "tenant_id", "loadbalancer_id")
    values = requests.nested(call, Listener, body, unknown=unknown, loadbalancer_id=load_balancer_id)
    if values["default_pool_id"] is not None:
        raise NotFound(Pool.label, str(values["default_pool_id"]))  # a new load balancer has no pools yet
    default = body.get("default_pool")
    if isinstance(default, Mapping):
        values["default_pool_id"] = pool_ids[graph_pools.name_of(default)]
    return {**values, "id": str(uuid.uuid4())}
