"""Everything below a load balancer in one request (contract 1.10), by the same rules as single creates.

:func:`read` parses, :func:`judged` completes by the rules, :func:`grown` makes the objects, :func:`shown` is
the response. Nested pools are named, so that listeners can refer to them; ids are given out when reading.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import certificates, conflicts, requests
from hydria.api.writing.change import new
from hydria.api.writing.health_monitor import health
from hydria.api.writing.member import judged as member_judged
from hydria.model import rules
from hydria.model.errors import NotFound, validation
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource, bad_value, parse_create, unknown_attributes
from hydria.model.statuses import ListenerProtocol, OperatingStatus, PoolProtocol
from hydria.model.tree import Tree
from hydria.store.relations import Relations

Body = Mapping[str, object]
Values = dict[str, object]

# A pool with no more than these is a reference to one that is defined elsewhere in the request.
_OF_REFERENCES = {"name", "admin_state_up", "tls_enabled"}


@dataclass(frozen=True, slots=True)
class Graph:
    """Field -> value of each nested object; ids and references are filled in."""

    listeners: tuple[Values, ...]
    pools: tuple[Values, ...]
    members: tuple[Values, ...]
    monitors: tuple[Values, ...]


def read(call: Call, body: Body, load_balancer_id: str) -> Graph:
    """Parse the nested objects of a load balancer's body."""
    listeners = requests.records("listeners", body.get("listeners"))
    defined = _defined_pools(requests.records("pools", body.get("pools")), listeners)
    pools = {name: _pool(call, name, each, load_balancer_id) for name, each in defined.items()}
    members, monitors = [], []
    for name, each in defined.items():
        pool_id = str(pools[name]["id"])
        for member in requests.records("members", each.get("members")):
            values = _parsed(call, Member, member, unknown=("project_id", "tenant_id"))
            members.append({**values, "pool_id": pool_id})
        if each.get("healthmonitor") is not None:
            monitors.append(_monitor(call, each["healthmonitor"], pool_id))
    return Graph(
        tuple(_listener(call, each, pools, load_balancer_id) for each in listeners),
        tuple(pools.values()),
        tuple(members),
        tuple(monitors),
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
    return Graph(tuple(listeners), tuple(pools), tuple(members), tuple(monitors))


def counted(graph: Graph) -> dict[type[Resource], int]:
    """How many objects of each kind the creation makes, in the order of contract 1.10."""
    return {
        LoadBalancer: 1,
        Pool: len(graph.pools),
        HealthMonitor: len(graph.monitors),
        Member: len(graph.members),
        Listener: len(graph.listeners),
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
    )
    conflicts.distinct(tree.listeners)
    conflicts.distinct(tree.members)
    return tree


def shown(tree: Tree) -> dict[str, object]:
    """The whole tree as the response to its creation shows it."""
    listeners = [{**_nested(each, Relations(tags=each.tags)), "l7policies": []} for each in tree.listeners]
    balancer = tree.load_balancer
    body = views.body(balancer, Relations(tags=balancer.tags))
    return {**body, "listeners": listeners, "pools": [_shown_pool(pool, tree) for pool in tree.pools]}


def _shown_pool(pool: Pool, tree: Tree) -> dict[str, object]:
    used_by = tuple(listener.id for listener in tree.listeners_of(pool.id))
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


def _defined_pools(pools: Sequence[Body], listeners: Sequence[Body]) -> dict[str, Body]:
    """Name -> definition of every pool, those that stand in a listener included."""
    in_place = list(_default_pools(listeners))
    referenced = [_name(each) for each in in_place if _is_reference(each)]
    definitions = [*pools, *(each for each in in_place if not _is_reference(each))]
    defined: dict[str, Body] = {}
    for each in definitions:
        if _name(each) in defined:
            raise validation("Pool names must be unique when creating a fully populated loadbalancer.")
        defined[_name(each)] = each
    for name in referenced:
        if name not in defined:
            raise validation(f"Pool '{name}' was referenced but no full definition was found.")
    return defined


def _default_pools(listeners: Sequence[Body]) -> Iterator[Body]:
    for each in listeners:
        pool = each.get("default_pool")
        if isinstance(pool, Mapping):
            yield pool
        elif pool is not None:
            raise bad_value("default_pool", pool, "Expected an object.")


def _is_reference(pool: Body) -> bool:
    return set(pool) <= _OF_REFERENCES


def _name(pool: Body) -> str:
    name = pool.get("name")
    if name is not None and not isinstance(name, str):
        raise bad_value("name", name, "Expected a string.")
    if not name:
        raise validation("Pools must be named when creating a fully populated loadbalancer.")
    return name


def _pool(call: Call, name: str, body: Body, load_balancer_id: str) -> Values:
    for mandatory in ("protocol", "lb_algorithm"):
        if body.get(mandatory) is None:
            raise validation(f"Pool definition for '{name}' missing required attribute: {mandatory}")
    unknown = ("project_id", "tenant_id", "loadbalancer_id", "listener_id")
    values = _parsed(call, Pool, body, unknown=unknown)
    return {**values, "id": str(uuid.uuid4()), "load_balancer_id": load_balancer_id}


def _monitor(call: Call, body: object, pool_id: str) -> Values:
    given = requests.record(HealthMonitor, body)
    unknown = ("project_id", "tenant_id", "pool_id")
    return _parsed(call, HealthMonitor, given, unknown=unknown, pool_id=pool_id)


def _listener(call: Call, body: Body, pools: Mapping[str, Values], load_balancer_id: str) -> Values:
    unknown = ("project_id", "tenant_id", "loadbalancer_id")
    values = _parsed(call, Listener, body, unknown=unknown, loadbalancer_id=load_balancer_id)
    if values["default_pool_id"] is not None:
        raise NotFound(Pool.label, str(values["default_pool_id"]))  # a new load balancer has no pools yet
    default = body.get("default_pool")
    if isinstance(default, Mapping):
        values["default_pool_id"] = pools[_name(default)]["id"]
    return values


def _parsed(
    call: Call, resource: type[Resource], body: Body, *, unknown: Collection[str], **given: Any
) -> Values:
    """Parse a nested object: without the keys ``unknown``, which a single create has, and with ``given``."""
    refused = [name for name in unknown if name in body]
    if refused:
        raise unknown_attributes(f"{resource.argument}.{resource.root}", refused)
    return parse_create(resource, {**body, **given}, call.services.defaults, ignored=resource.children)
