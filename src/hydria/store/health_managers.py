"""Which health managers there are, and the failover budget that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from hydria.store.tables import amphorae, failover_budget, health_managers, load_balancers


def beats(tx: sa.Connection) -> dict[str, int]:
    """Name -> beat of every health manager that has joined and not left."""
    return {row.name: row.beat for row in tx.execute(sa.select(health_managers))}


def beat(tx: sa.Connection, name: str) -> None:
    """Join, or show that this health manager still lives."""
    table, first = health_managers, {"name": name, "beat": 1}
    tx.execute(_upsert(tx, table, first, "name", {"beat": table.c.beat + 1}))


def leave(tx: sa.Connection, name: str) -> None:
    """Have the others share without this one."""
    tx.execute(sa.delete(health_managers).where(health_managers.c.name == name))


def forget(tx: sa.Connection, dead: Iterable[tuple[str, int]]) -> None:
    """Delete these, as far as they are still at that beat."""
    for name, beat in dead:
        tx.execute(
            sa.delete(health_managers).where(health_managers.c.name == name, health_managers.c.beat == beat)
        )


def lock_budget(tx: sa.Connection) -> None:
    """No other health manager declares an amphora dead until this transaction ends."""
    row = {"id": 1}
    tx.execute(_upsert(tx, failover_budget, row, "id", row))


def under_replacement(tx: sa.Connection, tries: int) -> tuple[int, int]:
    """How many dead amphorae wait for a replacement, and of how many of them that has failed ``tries`` times.

    An amphora that never served is not dead but unborn. One whose load balancer has nothing left to do is
    replaced, whether or not the compute service has deleted it yet.
    """
    balancer, amphora = load_balancers.c, amphorae.c
    pending = sa.or_(
        balancer.generation > balancer.applied_generation,
        balancer.retry_at.is_not(None),
        balancer.look_at.is_not(None),
    )
    hopeless = sa.case((balancer.attempts >= tries, 1), else_=0)
    query = (
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(hopeless), 0))
        .select_from(amphorae)
        .join(load_balancers, balancer.id == amphora.load_balancer_id)
        .where(amphora.status == "ERROR", amphora.applied_generation > 0, pending)
    )
    total, failing = tx.execute(query).one()
    return int(total), int(failing)


def _upsert(
    tx: sa.Connection, table: sa.Table, row: Mapping[str, Any], key: str, update: Mapping[str, Any]
) -> Any:
    engine = tx.dialect.name
    if engine in ("mysql", "mariadb"):
        return mysql.insert(table).values(row).on_duplicate_key_update(dict(update))
    make: Any = postgresql.insert if engine == "postgresql" else sqlite.insert
    return make(table).values(row).on_conflict_do_update(index_elements=[key], set_=dict(update))
