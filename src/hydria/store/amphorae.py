"""Rows of amphorae, and which of them are watched."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.store import events, rows
from hydria.store.events import What
from hydria.store.tables import amphora_health, amphorae, listener_statistics

_MEANING = {
    AmphoraStatus.ALLOCATED: What.CREATE_END,
    AmphoraStatus.PENDING_DELETE: What.DELETE_START,
    AmphoraStatus.DELETED: What.DELETE_END,
}


def add(tx: sa.Connection, amphora: Amphora) -> None:
    """Record an amphora before it is built, so that a half-built one has an owner."""
    values = {name: getattr(amphora, name) for name in amphora.__struct_fields__}
    tx.execute(amphorae.insert().values(rows.to_row(Amphora, values)))
    events.note(tx, amphora, What.CREATE_START)


def update(tx: sa.Connection, amphora_id: str, **changes: Any) -> None:
    """Change columns of an amphora."""
    rows.update_one(tx, Amphora, amphora_id, rows.to_row(Amphora, changes) | {"updated_at": rows.now()})
    if "status" in changes:
        status = changes["status"]
        events.note_ids(tx, Amphora, [amphora_id], _MEANING.get(status, What.STATUS), status=str(status))


def request_failover(
    tx: sa.Connection, *, load_balancer_id: str | None = None, amphora_id: str | None = None
) -> None:
    """Want another amphora in the place of this one, or of each that a load balancer has."""
    wanted = amphorae.c.id == amphora_id
    if load_balancer_id is not None:
        wanted = amphorae.c.load_balancer_id == load_balancer_id
    living = amphorae.c.status.not_in([str(AmphoraStatus.PENDING_DELETE), str(AmphoraStatus.DELETED)])
    tx.execute(
        sa.update(amphorae).where(wanted, living).values(failover_requested=True, updated_at=rows.now())
    )


def watch(tx: sa.Connection, amphora_id: str, moment: float) -> None:
    """From now on its silence is noticed."""
    tx.execute(sa.delete(amphora_health).where(amphora_health.c.amphora_id == amphora_id))
    tx.execute(amphora_health.insert().values(amphora_id=amphora_id, seen=moment, epoch=0, sequence=0))


def unwatch(tx: sa.Connection, amphora_id: str) -> None:
    """Its silence is wanted; what it served goes on counting, but has no connections any more."""
    # The amphora first, as whoever writes its counters does: so neither waits for the other for ever.
    tx.execute(sa.select(amphorae.c.id).where(amphorae.c.id == amphora_id).with_for_update())
    tx.execute(sa.delete(amphora_health).where(amphora_health.c.amphora_id == amphora_id))
    tx.execute(
        sa.update(listener_statistics)
        .where(listener_statistics.c.amphora_id == amphora_id)
        .values(active_connections=0)
    )
