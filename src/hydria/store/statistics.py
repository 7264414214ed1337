"""Statistics of listeners: absolute counters of each amphora's present epoch, on the sum of all earlier ones.

Several health managers write the same rows, each with what it happened to hear: a report counts unless the
row has something newer, of a later epoch or of the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import mysql, postgresql, sqlite

from hydria.store.tables import COUNTERS, amphorae, listener_statistics, listeners
from hydria.wire.heartbeat import ListenerReport, Report

_Key = tuple[str, str]  # listener, amphora
_Written = dict[_Key, tuple[int, ListenerReport]]

_REMEMBERED = 100_000
_ROW = listener_statistics.c
# A parameter here would keep drivers from sending many rows at once.
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")


class Writer:
    """Writes the counters of reports, those that changed alone.

    Remembers what was committed. When it is unknown whether something was, make a new one.
    """

    def __init__(self) -> None:
        self._written: _Written = {}
        self._staged: _Written = {}
        self._tx: sa.Connection | None = None

    def is_news(self, report: Report) -> bool:
        """Whether a report has counters that were not written yet."""
        return any(self._moved(report))

    def write(self, tx: sa.Connection, reports: Iterable[Report]) -> None:
        """Record the counters of these reports, in one statement; the last one of an amphora counts."""
        self._join(tx)
        changed: _Written = {}
        for report in reports:
            changed.update((key, (report.epoch, report.listeners[key[0]])) for key in self._moved(report))
        if not changed:
            return
        try:
            with tx.begin_nested():
                self._upsert(tx, changed, {key for key in changed if key not in self._written})
        except exc.IntegrityError:
            # A listener has gone since it was counted first: find out which.
            self._upsert(tx, changed, set(changed))

    def _moved(self, report: Report) -> Iterable[_Key]:
        for listener_id, counters in report.listeners.items():
            key = (listener_id, report.amphora_id)
            if self._written.get(key) != (report.epoch, counters):
                yield key

    def _upsert(self, tx: sa.Connection, changed: _Written, unproven: set[_Key]) -> None:
        known = changed.keys() - (unproven - _own(tx, unproven))
        # In the order of the rows, so that two who write the same wait for each other.
        rows = [_row(key, *changed[key]) for key in sorted(known)]
        if rows:
            tx.execute(_statement(tx.dialect.name), rows)
        self._staged.update((key, changed[key]) for key in known)

    def _join(self, tx: sa.Connection) -> None:
        """What another transaction staged and did not commit was never written."""
        if tx is not self._tx:
            self._tx, self._staged = tx, {}
            event.listen(tx, "commit", self._keep)

    def _keep(self, tx: sa.Connection) -> None:
        if tx is self._tx:
            if len(self._written) > _REMEMBERED:
                self._written.clear()
            self._written.update(self._staged)
            self._staged = {}


def _row(key: _Key, epoch: int, counters: ListenerReport) -> dict[str, Any]:
    counted = {name: getattr(counters, name) for name in ("active_connections", *COUNTERS)}
    base = {f"base_{name}": 0 for name in COUNTERS}
    return {"listener_id": key[0], "amphora_id": key[1], "epoch": epoch, **counted, **base}


def _own(tx: sa.Connection, keys: Iterable[_Key]) -> set[_Key]:
    """Those whose listener exists and is of the amphora's own load balancer."""
    pairs: Sequence[_Key] = list(keys)
    if not pairs:
        return set()
    query = (
        sa.select(listeners.c.id, amphorae.c.id)
        .join(amphorae, amphorae.c.load_balancer_id == listeners.c.load_balancer_id)
        .where(
            amphorae.c.id.in_({amphora_id for _, amphora_id in pairs}),
            listeners.c.id.in_({listener_id for listener_id, _ in pairs}),
        )
    )
    return {(row[0], row[1]) for row in tx.execute(query)}


@cache
def _statement(engine: str) -> Any:
    """An upsert: a row of a later epoch stays, one of an earlier epoch is added to the base.

    MariaDB sets one column after the other and reads what it has set already, so the base comes first and the
    epoch last; counters only grow within an epoch, so the condition stays true when some of them are set.
    """
    if engine in ("mysql", "mariadb"):
        insert = mysql.insert(listener_statistics)
        return insert.on_duplicate_key_update(_assignments(insert.inserted))
    make: Any = postgresql.insert if engine == "postgresql" else sqlite.insert
    upsert = make(listener_statistics)
    return upsert.on_conflict_do_update(
        index_elements=["listener_id", "amphora_id"], set_=dict(_assignments(upsert.excluded))
    )


def _assignments(new: Any) -> list[tuple[str, Any]]:
    later = _ROW.epoch < new.epoch
    counts = sa.or_(later, sa.and_(_ROW.epoch == new.epoch, *(_ROW[name] <= new[name] for name in COUNTERS)))
    return [
        *(
            (f"base_{name}", _ROW[f"base_{name}"] + sa.case((later, _ROW[name]), else_=_ZERO))
            for name in COUNTERS
        ),
        *(
            (name, sa.case((counts, new[name]), else_=_ROW[name]))
            for name in ("active_connections", *COUNTERS)
        ),
        ("epoch", sa.case((later, new.epoch), else_=_ROW.epoch)),
    ]
