"""Between Hydria's resources and octavia-lib's data models (contract 3.3), derived from the declarations.

An attribute that is not set stays octavia-lib's ``Unset``; null is None. Enumerations become their words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from octavia_lib.api.drivers import data_models

from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource, attributes, wire_name
from hydria.model.tree import Tree

_MODELS: Mapping[type[Resource], tuple[Any, str]] = {
    LoadBalancer: (data_models.LoadBalancer, "loadbalancer_id"),
    Listener: (data_models.Listener, "listener_id"),
    Pool: (data_models.Pool, "pool_id"),
    Member: (data_models.Member, "member_id"),
    HealthMonitor: (data_models.HealthMonitor, "healthmonitor_id"),
    L7Policy: (data_models.L7Policy, "l7policy_id"),
    L7Rule: (data_models.L7Rule, "l7rule_id"),
}

# Set by Hydria alone, yet part of octavia-lib's models.
_MORE: Mapping[type[Resource], Mapping[str, str]] = {
    Member: {"pool_id": "pool_id", "vnic_type": "vnic_type"},
    L7Rule: {"l7policy_id": "l7policy_id"},
}


def key_of(resource: Any) -> str | None:
    """What octavia-lib calls the id of such objects (``loadbalancer_id``); None where it has none of them."""
    found = _MODELS.get(resource)
    return None if found is None else found[1]


def of(item: Resource, **nested: Any) -> Any:
    """The whole object; ``nested`` adds what hangs on it, as octavia-lib names it."""
    model, key = _MODELS[type(item)]
    values = {name: _plain(getattr(item, field)) for field, name in names_of(type(item)).items()}
    return model(**{key: item.id}, **values, **nested)


def changed(resource: type[Resource], identifier: str, changes: Mapping[str, object]) -> Any:
    """An object with nothing but its id and what an update carries."""
    model, key = _MODELS[resource]
    names = names_of(resource)
    values = {names[field]: _plain(value) for field, value in changes.items() if field in names}
    return model(**{key: identifier}, **values)


def of_pool(pool: Pool, tree: Tree) -> Any:
    """A pool with its members and its health monitor."""
    monitor = tree.monitor_of(pool.id)
    return of(
        pool,
        members=[of(member) for member in tree.members_of(pool.id)],
        healthmonitor=None if monitor is None else of(monitor),
    )


def of_policy(policy: L7Policy, tree: Tree) -> Any:
    """An L7 policy with its rules."""
    return of(policy, rules=[of(rule) for rule in tree.rules_of(policy.id)])


def of_listener(listener: Listener, tree: Tree) -> Any:
    """A listener with its L7 policies, their rules, and its default pool."""
    pool = tree.pool(listener.default_pool_id)
    return _listener(listener, tree, None if pool is None else of_pool(pool, tree))


def within(item: Resource, tree: Tree, **more: Any) -> Any:
    """An object with everything of the tree that hangs on it; ``more``: of a load balancer itself."""
    if isinstance(item, LoadBalancer):
        return of_tree(tree, **more)
    if isinstance(item, Listener):
        return of_listener(item, tree)
    if isinstance(item, Pool):
        return of_pool(item, tree)
    if isinstance(item, L7Policy):
        return of_policy(item, tree)
    return of(item)


def of_tree(tree: Tree, **more: Any) -> Any:
    """A load balancer with everything below it; ``more`` as in :func:`of`."""
    pools = {pool.id: of_pool(pool, tree) for pool in tree.pools}
    return of(
        tree.load_balancer,
        pools=list(pools.values()),
        listeners=[
            _listener(listener, tree, pools.get(listener.default_pool_id or ""))
            for listener in tree.listeners
        ],
        **more,
    )


def _listener(listener: Listener, tree: Tree, default_pool: Any) -> Any:
    policies = [of_policy(policy, tree) for policy in tree.policies_of(listener.id)]
    return of(listener, l7policies=policies, default_pool=default_pool)


def below(given: Any) -> Iterable[Any]:
    """Everything that an object carries with it; nothing where it carries nothing."""
    for name in ("listeners", "l7policies", "rules", "pools", "members"):
        for child in getattr(given, name, None) or ():
            yield child
            yield from below(child)
    monitor = getattr(given, "healthmonitor", None)
    if monitor:
        yield monitor


@cache
def names_of(resource: type[Resource]) -> Mapping[str, str]:
    """Field -> its name in octavia-lib's data model, without the id."""
    declared = {
        field: attribute.provider or wire_name(field, attribute)
        for field, attribute in attributes(resource).items()
        if attribute.provider is not None
    }
    return {**declared, **_MORE.get(resource, {})}


def _plain(value: object) -> object:
    return msgspec.to_builtins(value)
