"""Writes what heartbeats say: liveness, operating statuses, statistics; as little as has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from hydria.health_manager import statuses
from hydria.health_manager.receiver import Received, Receiver
from hydria.model.errors import Unavailable
from hydria.planner.health import changed_statuses
from hydria.store import Store, amphorae, changes, statistics, tables, trees
from hydria.wire.heartbeat import Report

LOG = logging.getLogger(__name__)
_RECHECK = 30.0  # seconds after which an unchanged report is held against the tree again
_TIDY = 10 * _RECHECK
_COMPLAIN_EVERY = 10.0  # seconds between log lines about heartbeats that say nothing new


class Recorder:
    """Every quarter of a second, one transaction for all amphorae heard of since.

    Statuses are written apart from that, each load balancer's by itself, and only where they differ.
    """

    def __init__(self, store: Store, receiver: Receiver, interval: float = 0.25) -> None:
        self._store = store
        self._receiver = receiver
        self._interval = interval
        self._judged: dict[str, tuple[object, float]] = {}
        self._parts: dict[str, dict[int, Report]] = defaultdict(dict)
        self._statistics = statistics.Writer()
        self._tidied = time.monotonic()
        self._complained = -_COMPLAIN_EVERY
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
                LOG.exception(
                    "%d heartbeats not recorded together; trying each amphora's apart", len(received)
                )
                self._record_apart(received)

    def _record_apart(self, received: list[Received]) -> None:
        """One amphora that says what cannot be recorded must not silence the others."""
        for amphora_id in {item.report.amphora_id for item in received}:
            self._forget()
            try:
                self.record([item for item in received if item.report.amphora_id == amphora_id])
            except Exception:
                LOG.exception("Heartbeats of amphora %s not recorded", amphora_id)
        self._forget()

    def record(self, received: list[Received]) -> None:
        """Write what these reports say."""
        news, serving = self._store.transact(lambda tx: self._note(tx, received))
        self._complain(len(received) - len(news))
        by_amphora: dict[str, list[Report]] = defaultdict(list)
        for item in news:
            by_amphora[item.report.amphora_id].append(item.report)
        for amphora_id, reports in by_amphora.items():
            if amphora_id not in serving:
                self._parts.pop(amphora_id, None)
                self._judged.pop(amphora_id, None)
                continue
            report = self._whole(amphora_id, reports)
            if report is not None and self._is_news(report):
                self._judge(report, serving[amphora_id])
        self._tidy()

    def _note(self, tx: sa.Connection, received: list[Received]) -> tuple[list[Received], Mapping[str, str]]:
        """Record that they were heard, and what those count that serve.

        The reports that are not older than what anybody has recorded, and the load balancers of those that
        serve. What is not in service any more, or not yet, says nothing about anything.
        """
        known = amphorae.last_heard(tx, sorted({item.report.amphora_id for item in received}))
        order = {amphora_id: (heard.epoch, heard.sequence) for amphora_id, heard in known.items()}
        # As old as the last one is what another health manager recorded, and the next part of a large report.
        news = [item for item in received if _order(item) >= order.get(item.report.amphora_id, (0, 0))]
        newest = {item.report.amphora_id: item for item in sorted(news, key=_order)}
        amphorae.seen(
            tx,
            [
                {
                    "amphora_id": amphora_id,
                    "seen": item.at,
                    "epoch": item.report.epoch,
                    "sequence": item.report.sequence,
                }
                for amphora_id, item in newest.items()
                if amphora_id in order and _order(item) > order[amphora_id]
            ],
        )
        serving = {name: heard.load_balancer_id for name, heard in known.items() if heard.load_balancer_id}
        for item in news:
            if item.report.amphora_id in serving:
                self._statistics.write(tx, item.report)
        return news, serving

    def _complain(self, old: int) -> None:
        if old and time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            LOG.warning(
                "%d heartbeats are older than what is recorded already: repeated, replayed, or late.", old
            )

    def _whole(self, amphora_id: str, reports: list[Report]) -> Report | None:
        """The report that the parts make; None while some are missing."""
        first = reports[-1]
        if first.parts == 1:
            self._parts.pop(amphora_id, None)
            return first
        parts = self._parts[amphora_id]
        for report in reports:
            if any(
                part.parts != report.parts or part.generation != report.generation for part in parts.values()
            ):
                parts.clear()
            parts[report.part] = report
        if len(parts) < first.parts:
            return None
        whole = replace(first, listeners={}, pools={}, members={}, part=1, parts=1)
        for part in parts.values():
            whole.listeners.update(part.listeners)
            whole.pools.update(part.pools)
            whole.members.update(part.members)
        return whole

    def _is_news(self, report: Report) -> bool:
        before, at = self._judged.get(report.amphora_id, (None, 0.0))
        return before != _content(report) or time.monotonic() - at >= _RECHECK

    def _judge(self, report: Report, load_balancer_id: str) -> None:
        """Hold a report against the tree, and write what differs."""
        with self._store.read() as tx:
            tree = trees.load_tree(tx, load_balancer_id)
        if tree is None:
            return
        if changed_statuses(tree, report):
            self._store.transact(lambda tx: _correct(tx, load_balancer_id, report))
        if report.generation == tree.load_balancer.applied_generation:
            self._judged[report.amphora_id] = (_content(report), time.monotonic())
        else:
            # In the middle of a change; look again at the next heartbeat.
            self._judged.pop(report.amphora_id, None)

    def _tidy(self) -> None:
        """Forget amphorae that are not heard of any more."""
        now = time.monotonic()
        if now - self._tidied < _TIDY:
            return
        self._tidied = now
        self._judged = {name: one for name, one in self._judged.items() if now - one[1] < _TIDY}
        for amphora_id in [name for name in self._parts if name not in self._judged]:
            del self._parts[amphora_id]

    def _forget(self) -> None:
        self._judged.clear()
        self._statistics = statistics.Writer()


def _order(item: Received) -> tuple[int, int]:
    return item.report.epoch, item.report.sequence


def _content(report: Report) -> object:
    """What of a report statuses follow from."""
    listeners = {name: item.status for name, item in report.listeners.items()}
    return report.generation, report.haproxy, listeners, report.pools, report.members


def _serves(tx: sa.Connection, amphora_id: str) -> bool:
    column = tables.amphorae.c
    query = sa.select(column.id).where(column.id == amphora_id, column.status == "ALLOCATED")
    return tx.execute(query).first() is not None


def _correct(tx: sa.Connection, load_balancer_id: str, report: Report) -> None:
    """Write what is not as reported, with the load balancer locked first, as every change does."""
    if changes.lock(tx, load_balancer_id) is None or not _serves(tx, report.amphora_id):
        return
    tree = trees.load_tree(tx, load_balancer_id)
    if tree is not None:
        statuses.write(tx, changed_statuses(tree, report))
