"""Statistics of listeners: absolute counters of each amphora's present epoch, on the sum of all earlier ones.

Several health managers write the same rows, each with what it happened to hear: a report counts unless the
row has something newer, of a later epoch or of the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from hydria.store.tables import COUNTERS, amphorae, listener_statistics, listeners
from hydria.wire.heartbeat import ListenerReport, Report

_Written = dict[tuple[str, str], tuple[int, ListenerReport]]

_REMEMBERED = 100_000
_ROW = listener_statistics.c
_KEY = sa.and_(_ROW.listener_id == sa.bindparam("listener"), _ROW.amphora_id == sa.bindparam("amphora"))
# Counters only grow within an epoch.
_NOT_NEWER = sa.and_(
    _ROW.epoch == sa.bindparam("life"), *(_ROW[name] <= sa.bindparam(f"new_{name}") for name in COUNTERS)
)
_COUNTERS: Mapping[str, Any] = {
    name: sa.bindparam(f"new_{name}") for name in ("active_connections", *COUNTERS)
}


class Writer:
    """Writes the counters of reports, those that changed alone.

    Remembers what was committed. When it is unknown whether something was, make a new one.
    """

    def __init__(self) -> None:
        self._written: _Written = {}
        self._staged: _Written = {}
        self._tx: sa.Connection | None = None

    def write(self, tx: sa.Connection, report: Report) -> None:
        """Record the counters of one report."""
        self._join(tx)
        changed: list[dict[str, Any]] = []
        for listener_id, counters in sorted(report.listeners.items()):
            key = (listener_id, report.amphora_id)
            known = self._staged.get(key) or self._written.get(key)
            if known == (report.epoch, counters):
                continue
            if (known is None or known[0] != report.epoch) and not _begin_epoch(tx, key, report.epoch):
                continue
            self._staged[key] = (report.epoch, counters)
            named = {"listener": listener_id, "amphora": report.amphora_id, "life": report.epoch}
            changed.append({**named, **{f"new_{name}": getattr(counters, name) for name in _COUNTERS}})
        if changed:
            tx.execute(sa.update(listener_statistics).where(_KEY, _NOT_NEWER).values(_COUNTERS), changed)

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


def _begin_epoch(tx: sa.Connection, key: tuple[str, str], epoch: int) -> bool:
    """Have a row for counters of this epoch; False when it has later ones, or the listener is gone."""
    found = _lock(tx, key)
    if found is None and not _insert(tx, key, epoch):
        found = _lock(tx, key)
        if found is None:
            return False
    if found is None or found["epoch"] == epoch:
        return True
    if found["epoch"] > epoch:
        return False
    base = {f"base_{name}": found[f"base_{name}"] + found[name] for name in COUNTERS}
    fresh = dict.fromkeys(("active_connections", *COUNTERS), 0)
    tx.execute(sa.update(listener_statistics).where(_KEY).values(epoch=epoch, **fresh, **base), _names(key))
    return True


def _lock(tx: sa.Connection, key: tuple[str, str]) -> sa.RowMapping | None:
    query = sa.select(listener_statistics).where(_KEY).with_for_update()
    return tx.execute(query, _names(key)).mappings().first()


def _insert(tx: sa.Connection, key: tuple[str, str], epoch: int) -> bool:
    """A new row; False when somebody else has inserted it meanwhile, or the listener is gone.

    Or another's: an amphora counts for listeners of its own load balancer alone.
    """
    own = (
        sa.select(listeners.c.id)
        .join(amphorae, amphorae.c.load_balancer_id == listeners.c.load_balancer_id)
        .where(listeners.c.id == key[0], amphorae.c.id == key[1])
    )
    if tx.execute(own).first() is None:
        return False
    zeros: Mapping[str, int] = dict.fromkeys(("active_connections", *COUNTERS), 0)
    base = {f"base_{name}": 0 for name in COUNTERS}
    row = {"listener_id": key[0], "amphora_id": key[1], "epoch": epoch, **zeros, **base}
    try:
        with tx.begin_nested():
            tx.execute(listener_statistics.insert().values(row))
    except exc.IntegrityError:
        return False
    return True


def _names(key: tuple[str, str]) -> dict[str, str]:
    return {"listener": key[0], "amphora": key[1]}
