"""Statistics of listeners: absolute counters of each amphora's present epoch, on the sum of all earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from hydria.store.tables import COUNTERS, listener_statistics, listeners
from hydria.wire.heartbeat import ListenerReport, Report

_KEY = sa.and_(
    listener_statistics.c.listener_id == sa.bindparam("listener"),
    listener_statistics.c.amphora_id == sa.bindparam("amphora"),
)


class Writer:
    """Writes the counters of reports, those that changed alone.

    Remembers what it wrote; make a new one after a transaction that was rolled back.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], tuple[int, ListenerReport]] = {}

    def write(self, tx: sa.Connection, report: Report) -> None:
        """Record the counters of one report."""
        changed: list[dict[str, Any]] = []
        for listener_id, counters in report.listeners.items():
            key = (listener_id, report.amphora_id)
            known = self._written.get(key)
            if known == (report.epoch, counters):
                continue
            if known is None or known[0] != report.epoch:
                if not self._begin_epoch(tx, key, report.epoch):
                    continue
            self._written[key] = (report.epoch, counters)
            changed.append({"listener": listener_id, "amphora": report.amphora_id, **_columns(counters)})
        if changed:
            values: dict[str, Any] = {
                name: sa.bindparam(f"new_{name}") for name in ("active_connections", *COUNTERS)
            }
            tx.execute(sa.update(listener_statistics).where(_KEY).values(values), changed)

    def _begin_epoch(self, tx: sa.Connection, key: tuple[str, str], epoch: int) -> bool:
        """Have a row whose counters belong to this epoch; False when the listener is gone."""
        names = {"listener": key[0], "amphora": key[1]}
        found = (
            tx.execute(sa.select(listener_statistics).where(_KEY).with_for_update(), names).mappings().first()
        )
        if found is None:
            return _insert(tx, key, epoch)
        if found["epoch"] != epoch:
            base = {f"base_{name}": found[f"base_{name}"] + found[name] for name in COUNTERS}
            tx.execute(
                sa.update(listener_statistics)
                .where(_KEY)
                .values(epoch=epoch, **dict.fromkeys(COUNTERS, 0), **base),
                names,
            )
        return True


def _insert(tx: sa.Connection, key: tuple[str, str], epoch: int) -> bool:
    if tx.execute(sa.select(listeners.c.id).where(listeners.c.id == key[0])).first() is None:
        return False
    zeros: Mapping[str, int] = dict.fromkeys(("active_connections", *COUNTERS), 0)
    base = {f"base_{name}": 0 for name in COUNTERS}
    tx.execute(
        listener_statistics.insert().values(
            listener_id=key[0], amphora_id=key[1], epoch=epoch, **zeros, **base
        )
    )
    return True


def _columns(counters: ListenerReport) -> dict[str, int]:
    return {f"new_{name}": getattr(counters, name) for name in ("active_connections", *COUNTERS)}
