"""When amphorae were last heard of: written for many at a time, and searched for those that are silent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from hydria.model.amphora import Amphora
from hydria.store import rows
from hydria.store.tables import amphora_health, amphorae

_HEALTH = amphora_health.c


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat; seen: when it came, in seconds since 1970."""

    seen: float
    epoch: int
    sequence: int

    @property
    def order(self) -> tuple[int, int]:
        """Grows from each heartbeat of an amphora to the next."""
        return self.epoch, self.sequence


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of a watched amphora that was recorded before, and whom the amphora serves.

    load_balancer_id: None while it does not serve.
    """

    epoch: int
    sequence: int
    load_balancer_id: str | None


@dataclass(frozen=True, slots=True)
class Silent:
    """An amphora that serves and has not been heard of, and its last heartbeat."""

    amphora: Amphora
    seen: float
    epoch: int
    sequence: int


def record(tx: sa.Connection, beats: Mapping[str, Beat]) -> dict[str, Heard]:
    """Record heartbeats by amphora id; those of the amphorae that are watched, as they were before.

    A heartbeat that is not later than the recorded one is a replay and changes nothing. The rows are locked
    in the order of the amphorae, so that two health managers wait for each other rather than deadlock. Few
    hundred at a time: two statements in all.
    """
    known = _lock(tx, sorted(beats))
    newer = [
        {
            "amphora_id": amphora_id,
            "seen": beats[amphora_id].seen,
            "epoch": beats[amphora_id].epoch,
            "sequence": beats[amphora_id].sequence,
        }
        for amphora_id, heard in known.items()
        if beats[amphora_id].order > (heard.epoch, heard.sequence)
    ]
    if newer:
        # An upsert whose rows are all there: the one statement that every engine's driver sends in one piece.
        tx.execute(_upsert(tx.dialect.name), newer)
    return known


def _lock(tx: sa.Connection, amphora_ids: Sequence[str]) -> dict[str, Heard]:
    found = tx.execute(_locked(), {"amphorae": amphora_ids}) if amphora_ids else ()
    return {row[0]: Heard(row[1], row[2], row[3]) for row in found}


@cache
def _locked() -> sa.Select[Any]:
    whom = sa.select(amphorae.c.load_balancer_id).where(
        amphorae.c.id == _HEALTH.amphora_id, amphorae.c.status == "ALLOCATED"
    )
    return (
        sa.select(_HEALTH.amphora_id, _HEALTH.epoch, _HEALTH.sequence, whom.scalar_subquery().label("whom"))
        .where(_HEALTH.amphora_id.in_(sa.bindparam("amphorae", expanding=True)))
        .order_by(_HEALTH.amphora_id)
        .with_for_update()
    )


@cache
def _upsert(engine: str) -> Any:
    written = ("seen", "epoch", "sequence")
    if engine in ("mysql", "mariadb"):
        insert = mysql.insert(amphora_health)
        return insert.on_duplicate_key_update([(name, insert.inserted[name]) for name in written])
    make: Any = postgresql.insert if engine == "postgresql" else sqlite.insert
    upsert = make(amphora_health)
    return upsert.on_conflict_do_update(
        index_elements=["amphora_id"], set_={name: upsert.excluded[name] for name in written}
    )


def lock_serving(tx: sa.Connection, amphora_ids: Collection[str]) -> set[str]:
    """Those of these amphorae that serve; none is taken out of service until the transaction ends.

    Heartbeats can be recorded meanwhile.
    """
    # The role is in no index: of an index that had all that is asked for, MariaDB would lock the entry alone.
    query = (
        sa.select(amphorae.c.id, amphorae.c.role)
        .where(amphorae.c.id.in_(sorted(amphora_ids)), amphorae.c.status == "ALLOCATED")
        .order_by(amphorae.c.id)
        .with_for_update(read=True)
    )
    return set(tx.execute(query).scalars())


def booting(tx: sa.Connection, amphora_ids: Collection[str]) -> dict[str, str]:
    """Amphora id -> load balancer of those of these amphorae that boot."""
    query = sa.select(amphorae.c.id, amphorae.c.load_balancer_id).where(
        amphorae.c.id.in_(sorted(amphora_ids)), amphorae.c.status == "BOOTING"
    )
    return {row.id: row.load_balancer_id for row in tx.execute(query)}


def silent(tx: sa.Connection, before: float, after: float, limit: int) -> list[Silent]:
    """Amphorae that serve and were last heard of before ``before``, the longest silent first.

    before, after: seconds since 1970. ``after`` is a moment to come: a later heartbeat than that was noted by
    a clock that was set back since, and counts as silence. At most ``limit`` of either kind.
    """
    found: list[Silent] = []
    for condition in (_HEALTH.seen > after, _HEALTH.seen < before):
        query = _serving().where(condition).order_by(_HEALTH.seen).limit(limit)
        found += [_silent(row) for row in tx.execute(query)]
    return found


def is_silent(tx: sa.Connection, amphora_id: str, before: float, after: float) -> bool:
    """Whether :func:`silent` would name this amphora."""
    query = _serving().where(
        _HEALTH.amphora_id == amphora_id, sa.or_(_HEALTH.seen < before, _HEALTH.seen > after)
    )
    return tx.execute(query).first() is not None


def count_silent(tx: sa.Connection, before: float, after: float) -> int:
    """How many watched amphorae are silent."""
    query = sa.select(sa.func.count()).where(sa.or_(_HEALTH.seen < before, _HEALTH.seen > after))
    return int(tx.execute(query).scalar_one())


def count_watched(tx: sa.Connection) -> int:
    """How many amphorae are watched."""
    return int(tx.execute(sa.select(sa.func.count()).select_from(amphora_health)).scalar_one())


def _serving() -> sa.Select[Any]:
    """Watched amphorae that serve, by way of the heartbeats.

    MariaDB and SQLite would read all amphorae that serve first, and sort them.
    """
    return (
        sa.select(amphorae, _HEALTH.seen, _HEALTH.epoch, _HEALTH.sequence)
        .select_from(amphora_health.join(amphorae, amphorae.c.id == _HEALTH.amphora_id))
        .where(sa.func.coalesce(amphorae.c.status, "") == "ALLOCATED")  # which no index answers
        .prefix_with("STRAIGHT_JOIN", dialect="mysql")
        .prefix_with("STRAIGHT_JOIN", dialect="mariadb")
    )


def _silent(row: Iterable[Any]) -> Silent:
    values = tuple(row)
    return Silent(rows.from_row(Amphora, values[:-3]), *values[-3:])
