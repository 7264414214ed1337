"""Amphorae that are cut off and to be deleted, whatever becomes of their load balancers meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.store import rows
from hydria.store.tables import amphorae

_PENDING = str(AmphoraStatus.PENDING_DELETE)


def postpone(tx: sa.Connection, amphora_id: str, when: datetime, *, attempts: int) -> None:
    """Have the deletion of an amphora be tried next at a moment."""
    tx.execute(
        sa.update(amphorae)
        .where(amphorae.c.id == amphora_id)
        .values(collect_at=when, collect_attempts=attempts, updated_at=rows.now())
    )


def claim(tx: sa.Connection, now: datetime, hold: timedelta, limit: int) -> tuple[Amphora, ...]:
    """Amphorae whose deletion is due, for this program to try; nobody else does before ``hold`` is over."""
    due = (
        sa.select(amphorae)
        .where(amphorae.c.collect_at <= now, amphorae.c.status == _PENDING)
        .order_by(amphorae.c.collect_at, amphorae.c.id)
        .limit(limit)
    )
    found = [rows.from_row(Amphora, row) for row in tx.execute(due)]
    claimed = []
    for one in found:
        # Of two programs that find the same one, the second changes nothing.
        taken = tx.execute(
            sa.update(amphorae)
            .where(
                amphorae.c.id == one.id,
                amphorae.c.collect_at == one.collect_at,
                amphorae.c.status == _PENDING,
            )
            .values(collect_at=now + hold)
        )
        if taken.rowcount == 1:
            claimed.append(one)
    return tuple(claimed)


def overdue(tx: sa.Connection, attempts: int, limit: int) -> tuple[Amphora, ...]:
    """Amphorae whose deletion has failed at least so often, for operators."""
    query = (
        sa.select(amphorae)
        .where(
            amphorae.c.collect_at.is_not(None),
            amphorae.c.status == _PENDING,
            amphorae.c.collect_attempts >= attempts,
        )
        .order_by(amphorae.c.created_at, amphorae.c.id)
        .limit(limit)
    )
    return tuple(rows.from_row(Amphora, row) for row in tx.execute(query))
