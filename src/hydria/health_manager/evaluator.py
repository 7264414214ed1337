"""Concludes from reports what has changed: operating statuses, counters, amphorae that are behind."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from hydria.health_manager.receiver import Received
from hydria.messages import Wakeups
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraRole
from hydria.planner.health import Voice, believed, changed_statuses
from hydria.store import Store, changes, heartbeats, observed, statistics
from hydria.store.observed import Serving
from hydria.wire.heartbeat import Report

LOG = logging.getLogger(__name__)
_BATCH = 250  # amphorae whose reports are held against the database in one statement
_LOADED = 100  # load balancers whose objects are read in one statement
_AGAIN = 900.0  # seconds after which even an unchanged report is held against the rows again
_STEADY = 3  # reports of an older generation after which an amphora is believed to be behind
_PAUSE = 30.0  # seconds between two times that an amphora is configured again: it may say what it likes
_SILENT = 600.0  # seconds after which what an amphora said last is forgotten


@dataclass(frozen=True, slots=True)
class _Concluded:
    """What a load balancer's statuses followed from: a report, of a state of the load balancer."""

    amphora_id: str
    digest: int
    state: tuple[object, ...]
    at: float


@dataclass(frozen=True, slots=True)
class _Behind:
    epoch: int
    generation: int
    times: int


class Evaluator:
    """Evaluates what the recorder passes on, newest first come; only what has changed costs anything.

    ``patience``: seconds after which the word of a silent amphora does not count any more.
    """

    def __init__(self, store: Store, wakeups: Wakeups, *, patience: float, interval: float = 0.25) -> None:
        self._store = store
        self._wakeups = wakeups
        self._patience = patience
        self._interval = interval
        self._waiting: dict[tuple[str, int], Received] = {}
        self._lock = threading.Lock()
        self._concluded: dict[str, _Concluded] = {}  # by load balancer
        self._voices: dict[str, dict[str, tuple[Voice, float]]] = defaultdict(dict)  # of pairs
        self._parts: dict[str, dict[int, Report]] = defaultdict(dict)
        self._behind: dict[str, _Behind] = {}
        self._epochs: dict[str, int] = {}
        self._helped: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._tidied = time.monotonic()
        self._statistics = statistics.Writer()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evaluate-heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to evaluate."""
        self._thread.start()

    def stop(self) -> None:
        """Evaluate no more."""
        self._stopped.set()

    def put(self, received: Sequence[Received]) -> None:
        """Have these evaluated; of what waits already the newest of each amphora and part stays."""
        with self._lock:
            self._waiting.update(((item.report.amphora_id, item.report.part), item) for item in received)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            reports: dict[str, list[Report]] = defaultdict(list)
            for item in waiting.values():
                reports[item.report.amphora_id].append(item.report)
            names = list(reports)
            for start in range(0, len(names), _BATCH):
                batch = {name: reports[name] for name in names[start : start + _BATCH]}
                try:
                    self.evaluate(batch)
                except Unavailable as error:
                    LOG.warning("What %d amphorae say is not evaluated: %s", len(batch), error)
                    self._forget()
                except Exception:
                    LOG.exception("%d reports not evaluated together; trying each apart", len(batch))
                    self._evaluate_apart(batch)
            self._tidy()

    def _evaluate_apart(self, reports: Mapping[str, Sequence[Report]]) -> None:
        """What one amphora says must not keep what others say from being evaluated."""
        for amphora_id, some in reports.items():
            self._forget()
            try:
                self.evaluate({amphora_id: some})
            except Exception:
                LOG.exception("What amphora %s says is not evaluated", amphora_id)
        self._forget()

    def evaluate(self, reports: Mapping[str, Sequence[Report]]) -> None:
        """Write what follows from reports, by amphora id; of each the parts in their order."""
        with self._store.read() as tx:
            serving = observed.serving(tx, sorted(reports))
            partners = self._partners(serving)
            gone = partners - observed.serving(tx, sorted(partners)).keys() if partners else set()
        for voices in self._voices.values() if gone else ():
            for amphora_id in gone & voices.keys():
                del voices[amphora_id]
        self._count([report for name in serving for report in reports[name]])
        pending: dict[str, tuple[Report, Serving]] = {}
        for amphora_id, some in reports.items():
            of = serving.get(amphora_id)
            if of is None:
                self._drop(amphora_id)
                continue
            self._heard[amphora_id] = time.monotonic()
            self._mind_generation(some[-1], of)
            whole = self._whole(amphora_id, some)
            report = None if whole is None else self._believed(whole, of)
            if report is not None and self._is_news(report, of):
                pending[of.load_balancer_id] = (report, of)
        self._conclude(pending)

    def _partners(self, serving: Mapping[str, Serving]) -> set[str]:
        """The amphorae whose word may count for the same load balancers."""
        pairs = {of.load_balancer_id for of in serving.values() if of.role is not AmphoraRole.STANDALONE}
        return {name for pair in pairs & self._voices.keys() for name in self._voices[pair]} - serving.keys()

    def _count(self, reports: Sequence[Report]) -> None:
        moved = [report for report in reports if self._statistics.is_news(report)]
        if not moved:
            return

        def work(tx: sa.Connection) -> None:
            # One that is taken out of service meanwhile has no connections any more.
            serving = heartbeats.lock_serving(tx, {report.amphora_id for report in moved})
            self._statistics.write(tx, [report for report in moved if report.amphora_id in serving])

        self._store.transact(work)

    def _mind_generation(self, report: Report, of: Serving) -> None:
        """An amphora that has lost its state, or never got it, is configured again."""
        amphora_id = report.amphora_id
        former = self._epochs.get(amphora_id)
        self._epochs[amphora_id] = report.epoch
        if not of.settled or report.generation >= of.applied_generation:
            self._behind.pop(amphora_id, None)
            return
        known = self._behind.get(amphora_id)
        same = known is not None and (known.epoch, known.generation) == (report.epoch, report.generation)
        times = known.times + 1 if known is not None and same else 1
        self._behind[amphora_id] = _Behind(report.epoch, report.generation, times)
        restarted = former is not None and former < report.epoch
        now = time.monotonic()
        if (times < _STEADY and not restarted) or now - self._helped.get(amphora_id, -_PAUSE) < _PAUSE:
            return
        del self._behind[amphora_id]
        self._helped[amphora_id] = now
        balancer, generation = of.load_balancer_id, report.generation
        if self._store.transact(lambda tx: observed.note_behind(tx, amphora_id, balancer, generation)):
            LOG.warning(
                "Amphora %s serves generation %d, though %d was applied: it is configured again",
                amphora_id, generation, of.applied_generation,
            )  # fmt: skip
            self._wakeups.wake(balancer)

    def _whole(self, amphora_id: str, reports: Sequence[Report]) -> Report | None:
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

    def _believed(self, report: Report, of: Serving) -> Report | None:
        """What to believe about the load balancer, once this amphora has said this."""
        if of.role is AmphoraRole.STANDALONE:
            return report
        now, voices = time.monotonic(), self._voices[of.load_balancer_id]
        voices[report.amphora_id] = (Voice(report, of.role), now)
        for name in [name for name, (_, at) in voices.items() if now - at > self._patience]:
            del voices[name]
        current = [voice for voice, _ in voices.values() if voice.report.generation >= of.applied_generation]
        return believed(current)

    def _is_news(self, report: Report, of: Serving) -> bool:
        if report.generation < of.applied_generation:
            return False  # it was sent before the change
        known = self._concluded.get(of.load_balancer_id)
        if known is None or time.monotonic() - known.at >= _AGAIN:
            return True
        return (known.amphora_id, known.digest, known.state) != (
            report.amphora_id, _digest(report), of.state
        )  # fmt: skip

    def _conclude(self, pending: Mapping[str, tuple[Report, Serving]]) -> None:
        """Hold reports against the rows of their load balancers, and write what differs."""
        names = sorted(pending)
        for start in range(0, len(names), _LOADED):
            some = names[start : start + _LOADED]
            with self._store.read() as tx:
                found = observed.load(tx, some)
            for name in some:
                report, of = pending[name]
                if name not in found:
                    continue
                if changed_statuses(found[name], report) and not self._correct(name, report):
                    self._voices.pop(name, None)
                    continue
                if report.generation == of.applied_generation:
                    self._concluded[name] = _Concluded(
                        report.amphora_id, _digest(report), of.state, time.monotonic()
                    )
                else:
                    # In the middle of a change; look again at the next heartbeat.
                    self._concluded.pop(name, None)

    def _correct(self, load_balancer_id: str, report: Report) -> bool:
        return self._store.transact(lambda tx: correct(tx, load_balancer_id, report))

    def _drop(self, amphora_id: str) -> None:
        for memory in (self._parts, self._behind, self._epochs, self._heard, self._helped):
            memory.pop(amphora_id, None)

    def _tidy(self) -> None:
        """Forget amphorae and load balancers that are not heard of any more."""
        now = time.monotonic()
        if now - self._tidied < _SILENT:
            return
        self._tidied = now
        for amphora_id in [name for name, at in self._heard.items() if now - at > _SILENT]:
            self._drop(amphora_id)
        self._concluded = {
            name: one for name, one in self._concluded.items() if one.amphora_id in self._heard
        }
        for name in [name for name, voices in self._voices.items() if not voices.keys() & self._heard.keys()]:
            del self._voices[name]

    def _forget(self) -> None:
        self._concluded.clear()
        self._statistics = statistics.Writer()


def _digest(report: Report) -> int:
    """Of what statuses follow from."""
    listeners = frozenset((name, item.status) for name, item in report.listeners.items())
    pools, members = frozenset(report.pools.items()), frozenset(report.members.items())
    return hash((report.generation, report.haproxy, listeners, pools, members))


def correct(tx: sa.Connection, load_balancer_id: str, report: Report) -> bool:
    """Write what is not as reported, with the load balancer locked first, as every change does.

    False when the amphora does not serve any more.
    """
    if changes.lock(tx, load_balancer_id) is None or not observed.is_serving(tx, report.amphora_id):
        return False
    found = observed.load(tx, [load_balancer_id]).get(load_balancer_id)
    if found is not None:
        observed.write(tx, found, changed_statuses(found, report))
    return True
