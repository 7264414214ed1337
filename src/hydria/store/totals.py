"""Statistics as the API shows them: what all amphorae, past ones too, have counted for listeners."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from hydria.store.tables import COUNTERS, listener_statistics, listeners


def of_listener(tx: sa.Connection, listener_id: str) -> Mapping[str, int]:
    """The counters of one listener; zeros when nothing was reported yet."""
    return _read(tx, _sums().where(listener_statistics.c.listener_id == listener_id))


def of_load_balancer(tx: sa.Connection, load_balancer_id: str) -> Mapping[str, int]:
    """The sum over the listeners of a load balancer."""
    owned = sa.select(listeners.c.id).where(listeners.c.load_balancer_id == load_balancer_id)
    return _read(tx, _sums().where(listener_statistics.c.listener_id.in_(owned)))


def of_amphora(tx: sa.Connection, amphora_id: str) -> list[dict[str, Any]]:
    """The counters of an amphora, listener by listener; none when nothing was reported yet."""
    counted = listener_statistics.c
    totals = ((counted[name] + counted[f"base_{name}"]).label(name) for name in COUNTERS)
    found = tx.execute(
        sa.select(
            counted.amphora_id.label("id"),
            counted.listener_id,
            listeners.c.load_balancer_id.label("loadbalancer_id"),
            counted.active_connections,
            *totals,
        )
        .join(listeners, listeners.c.id == counted.listener_id)
        .where(counted.amphora_id == amphora_id)
        .order_by(counted.listener_id)
    )
    return [dict(row) for row in found.mappings()]


def _read(tx: sa.Connection, statement: sa.Select[Any]) -> Mapping[str, int]:
    # Engines sum whole numbers into decimals.
    return {name: int(value or 0) for name, value in tx.execute(statement).mappings().one().items()}


@cache
def _sums() -> sa.Select[Any]:
    counted = listener_statistics.c
    totals = (sa.func.sum(counted[name] + counted[f"base_{name}"]).label(name) for name in COUNTERS)
    return sa.select(sa.func.sum(counted.active_connections).label("active_connections"), *totals)
