"""Rows of amphorae and of their heartbeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.store import events, rows
from hydria.store.events import What
from hydria.store.tables import amphora_health, amphorae, listener_statistics

_BATCH = 1000
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
    tx.execute(sa.delete(amphora_health).where(amphora_health.c.amphora_id == amphora_id))
    tx.execute(
        sa.update(listener_statistics)
        .where(listener_statistics.c.amphora_id == amphora_id)
        .values(active_connections=0)
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of an amphora that was recorded, by any health manager, and whom the amphora serves.

    load_balancer_id: None while it does not serve.
    """

    epoch: int
    sequence: int
    load_balancer_id: str | None


def last_heard(tx: sa.Connection, amphora_ids: Sequence[str]) -> dict[str, Heard]:
    """Those of these amphorae that are watched.

    Nobody records a later heartbeat of theirs, or takes one of them out of service, before this transaction
    ends: the rows are locked, in the order of the amphorae, so that two health managers wait for each other
    rather than deadlock.
    """
    watched, serving, found = amphora_health.c, amphorae.c, {}
    whom = sa.select(serving.load_balancer_id).where(
        serving.id == watched.amphora_id, serving.status == "ALLOCATED"
    )
    for start in range(0, len(amphora_ids), _BATCH):
        query = (
            sa.select(
                watched.amphora_id, watched.epoch, watched.sequence, whom.scalar_subquery().label("whom")
            )
            .where(watched.amphora_id.in_(sorted(amphora_ids)[start : start + _BATCH]))
            .order_by(watched.amphora_id)
            .with_for_update()
        )
        found.update({row.amphora_id: Heard(row.epoch, row.sequence, row.whom) for row in tx.execute(query)})
    return found


def seen(tx: sa.Connection, heartbeats: Sequence[Mapping[str, Any]]) -> None:
    """Record heartbeats, in the order of the amphorae: ``amphora_id``, ``seen``, ``epoch``, ``sequence``."""
    if heartbeats:
        tx.execute(
            sa.update(amphora_health)
            .where(amphora_health.c.amphora_id == sa.bindparam("key"))
            .values(seen=sa.bindparam("at"), epoch=sa.bindparam("life"), sequence=sa.bindparam("number")),
            [
                {
                    "key": beat["amphora_id"],
                    "at": beat["seen"],
                    "life": beat["epoch"],
                    "number": beat["sequence"],
                }
                for beat in sorted(heartbeats, key=lambda beat: str(beat["amphora_id"]))
            ],
        )


def silent(tx: sa.Connection, before: float, after: float | None = None) -> tuple[Amphora, ...]:
    """Amphorae that serve and were last heard of before this moment (seconds since 1970), the longest first.

    ``after``: a moment to come; who was last heard of later than that was so by a clock that was put back.
    """
    silence = amphora_health.c.seen < before
    if after is not None:
        silence = sa.or_(silence, amphora_health.c.seen > after)
    query = (
        sa.select(amphorae)
        .join(amphora_health, amphora_health.c.amphora_id == amphorae.c.id)
        .where(silence, amphorae.c.status == "ALLOCATED")
        .order_by(amphora_health.c.seen)
    )
    return tuple(rows.from_row(Amphora, row) for row in tx.execute(query))
