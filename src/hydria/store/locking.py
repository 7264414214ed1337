"""Opening a change: the load balancer of an object locked, then what the change needs to know, read under it.

The load balancer's row is always the first that is locked, so that changes queue up rather than deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.resource import Declared
from hydria.store import rows, tables
from hydria.store.routing import routes


def lock_owner(tx: sa.Connection, resource: type[Declared], identifier: str) -> LoadBalancer | None:
    """The load balancer that an object is on, unchanged by anybody else until the transaction ends.

    None when there is no such object. The object itself is to be read afterwards: it may have gone meanwhile.
    """
    row = tx.execute(_owner(resource), {"identifier": identifier}).first()
    return None if row is None else rows.from_row(LoadBalancer, row)


@cache
def _owner(resource: type[Declared]) -> sa.Select[Any]:
    table, balancers = tables.table_of(resource), tables.load_balancers
    owner = sa.select(table.c.load_balancer_id).where(table.c.id == sa.bindparam("identifier"))
    return sa.select(balancers).where(balancers.c.id == owner.scalar_subquery()).with_for_update()


@dataclass(frozen=True, slots=True)
class PoolInUse:
    """A pool, the listeners that send traffic to it, and its health monitor."""

    pool: Pool
    listener_ids: tuple[str, ...] = ()
    monitor_id: str | None = None


def pool_in_use(tx: sa.Connection, pool_id: str) -> PoolInUse | None:
    """A pool and what a change of it affects, in one query; None when it does not exist."""
    found = tx.execute(_pool_in_use(), {"pool": pool_id}).all()
    if not found:
        return None
    width = len(tables.pools.c)
    listener_ids = tuple(dict.fromkeys(row[width] for row in found if row[width] is not None))
    return PoolInUse(rows.from_row(Pool, found[0][:width]), listener_ids, found[0][width + 1])


@cache
def _pool_in_use() -> sa.Select[Any]:
    pools, monitors = tables.pools, tables.health_monitors
    wanted: sa.BindParameter[str] = sa.bindparam("pool")
    # Bound to the id, not to the pool's row, so that each engine finds them by an index.
    used = routes("listener", where=lambda pool: pool == wanted).subquery()
    return (
        sa.select(pools, used.c.listener, monitors.c.id)
        .select_from(pools)
        .outerjoin(used, sa.true())
        # A monitor on its way out has given up its key.
        .outerjoin(monitors, sa.and_(monitors.c.pool_id == pools.c.id, monitors.c.live_key.is_not(None)))
        .where(pools.c.id == wanted)
    )
