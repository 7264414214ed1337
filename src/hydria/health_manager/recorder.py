"""Writes what heartbeats say: liveness, operating statuses, statistics; as little as has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from dataclasses import replace

import sqlalchemy as sa

from hydria.health_manager.receiver import Received, Receiver
from hydria.model.errors import Unavailable
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus
from hydria.planner.health import changed_statuses
from hydria.store import Store, amphorae, statistics, tables, trees
from hydria.wire.heartbeat import Report

LOG = logging.getLogger(__name__)
_RECHECK = 30.0  # seconds after which an unchanged report is held against the tree again


class Recorder:
    """Every quarter of a second, one transaction for all amphorae heard of since."""

    def __init__(self, store: Store, receiver: Receiver, interval: float = 0.25) -> None:
        self._store = store
        self._receiver = receiver
        self._interval = interval
        self._judged: dict[str, tuple[object, float]] = {}
        self._parts: dict[str, dict[int, Report]] = defaultdict(dict)
        self._statistics = statistics.Writer()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record-heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self) -> None:
        """Record no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            received = self._receiver.take()
            if not received:
                continue
            try:
                self.record(received)
            except Unavailable as error:
                # The next heartbeats say the same again: counters are absolute.
                LOG.warning("%d heartbeats not recorded: %s", len(received), error)
                self._forget()
            except Exception:
                LOG.exception("%d heartbeats not recorded", len(received))
                self._forget()

    def record(self, received: list[Received]) -> None:
        """Write what these reports say."""
        self._store.transact(lambda tx: self._record(tx, received))

    def _record(self, tx: sa.Connection, received: list[Received]) -> None:
        heard = {item.report.amphora_id: item for item in received}
        amphorae.seen(
            tx,
            [
                {
                    "amphora_id": amphora_id,
                    "seen": item.at,
                    "epoch": item.report.epoch,
                    "sequence": item.report.sequence,
                }
                for amphora_id, item in heard.items()
            ],
        )
        for item in received:
            self._statistics.write(tx, item.report)
        for amphora_id in heard:
            reports = [item.report for item in received if item.report.amphora_id == amphora_id]
            report = self._whole(amphora_id, reports)
            if report is not None and self._is_news(report):
                self._judge(tx, report)

    def _whole(self, amphora_id: str, reports: list[Report]) -> Report | None:
        """The report that the parts make; None while some are missing."""
        parts = self._parts[amphora_id]
        for report in reports:
            if any(
                part.parts != report.parts or part.generation != report.generation for part in parts.values()
            ):
                parts.clear()
            parts[report.part] = report
        first = reports[-1]
        if len(parts) < first.parts:
            return None
        if first.parts == 1:
            return first
        whole = replace(first, listeners={}, pools={}, members={}, part=1, parts=1)
        for part in parts.values():
            whole.listeners.update(part.listeners)
            whole.pools.update(part.pools)
            whole.members.update(part.members)
        return whole

    def _is_news(self, report: Report) -> bool:
        content = (
            report.generation,
            {name: item.status for name, item in report.listeners.items()},
            report.pools,
            report.members,
        )
        before, at = self._judged.get(report.amphora_id, (None, 0.0))
        if before == content and time.monotonic() - at < _RECHECK:
            return False
        self._judged[report.amphora_id] = (content, time.monotonic())
        return True

    def _judge(self, tx: sa.Connection, report: Report) -> None:
        owner = sa.select(tables.amphorae.c.load_balancer_id).where(
            tables.amphorae.c.id == report.amphora_id, tables.amphorae.c.status == "ALLOCATED"
        )
        load_balancer_id = tx.execute(owner).scalar()
        tree = None if load_balancer_id is None else trees.load_tree(tx, load_balancer_id)
        if tree is None or report.generation != tree.load_balancer.applied_generation:
            # In the middle of a change; look again at the next heartbeat.
            self._judged.pop(report.amphora_id, None)
        if tree is not None:
            _write(tx, changed_statuses(tree, report))

    def _forget(self) -> None:
        self._judged.clear()
        self._statistics = statistics.Writer()


def _write(tx: sa.Connection, changed: list[tuple[Resource, OperatingStatus]]) -> None:
    grouped: dict[tuple[type[Resource], OperatingStatus], list[str]] = defaultdict(list)
    for item, status in changed:
        grouped[type(item), status].append(item.id)
    for (resource, status), identifiers in grouped.items():
        table = tables.table_of(resource)
        tx.execute(sa.update(table).where(table.c.id.in_(identifiers)).values(operating_status=str(status)))
