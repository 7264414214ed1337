"""What belongs to an object besides its row: the ids of its children, and its tags.

One statement for up to a thousand objects and more: a UNION ALL with a branch for each kind of relation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.resource import Declared, attributes
from hydria.store.batches import batches
from hydria.store.routing import routes
from hydria.store.tables import (
    health_monitors,
    l7policies,
    l7rules,
    limit_policies,
    limit_rules,
    listeners,
    members,
    pools,
    tags,
)


@dataclass(frozen=True, slots=True)
class Relations:
    """Ids of children, each kind in the order of the ids, and the tags in theirs.

    Which of them an object can have depends on its kind: ``l7policies`` and ``rate_limit_policies`` are a
    listener's, the former in the order in which they are tried, ``rules`` a policy's of either kind,
    ``members`` and ``healthmonitor_id`` a pool's, ``listeners`` a load balancer's, or those that send traffic
    to a pool.
    """

    tags: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    l7policies: tuple[str, ...] = ()
    rate_limit_policies: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    healthmonitor_id: str | None = None


NONE = Relations()

# Relation -> the column that names the owner; the listeners of a pool are found by their routes.
_CHILDREN: Mapping[type[Declared], Mapping[str, sa.Column[Any]]] = {
    LoadBalancer: {"listeners": listeners.c.load_balancer_id, "pools": pools.c.load_balancer_id},
    Listener: {
        "l7policies": l7policies.c.listener_id,
        "rate_limit_policies": limit_policies.c.listener_id,
    },
    L7Policy: {"rules": l7rules.c.l7policy_id},
    RateLimitPolicy: {"rules": limit_rules.c.rate_limit_policy_id},
    Pool: {
        "members": members.c.pool_id,
        "healthmonitor_id": health_monitors.c.pool_id,
    },
}


def of(tx: sa.Connection, resource: type[Declared], ids: Sequence[str]) -> dict[str, Relations]:
    """Id -> relations of each of these objects, in one statement (one per 5,000 of them)."""
    if "tags" not in attributes(resource):
        return dict.fromkeys(ids, NONE)  # what the operator keeps has neither children nor tags
    found: dict[str, dict[str, list[str]]] = {}
    for batch in batches(ids):
        for relation, owner, item, _ in tx.execute(_statement(resource), {"ids": batch}).all():
            found.setdefault(owner, {}).setdefault(relation, []).append(item)
    return {identifier: _relations(found[identifier]) if identifier in found else NONE for identifier in ids}


def _relations(items: Mapping[str, Sequence[str]]) -> Relations:
    monitors = items.get("healthmonitor_id")
    lists = {
        relation: tuple(dict.fromkeys(values))
        for relation, values in items.items()
        if relation != "healthmonitor_id"
    }
    return Relations(**lists, healthmonitor_id=monitors[0] if monitors else None)


@cache
def _statement(resource: type[Declared]) -> sa.CompoundSelect[Any]:
    branches = [
        _branch(relation, owner, owner.table.c.id) for relation, owner in _CHILDREN.get(resource, {}).items()
    ]
    if resource is Pool:
        used = routes("pool", "listener", where=lambda pool: pool.in_(_IDS)).subquery()
        branches.append(_labelled("listeners", used.c.pool, used.c.listener))
    branches.append(_branch("tags", tags.c.resource_id, tags.c.tag))
    return sa.union_all(*branches).order_by("place", "item")


_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)


def _labelled(relation: str, owner: Any, item: Any) -> sa.Select[Any]:
    name = sa.literal_column(f"'{relation}'", sa.String()).label("relation")
    place = l7policies.c.position if relation == "l7policies" else sa.literal_column("0", sa.BigInteger())
    return sa.select(name, owner.label("owner"), item.label("item"), place.label("place"))


def _branch(relation: str, owner: sa.Column[Any], item: sa.Column[Any]) -> sa.Select[Any]:
    branch = _labelled(relation, owner, item).where(owner.in_(_IDS))
    if relation == "healthmonitor_id":
        # One that is on its way out may have a successor already.
        branch = branch.where(health_monitors.c.live_key.is_not(None))
    return branch
