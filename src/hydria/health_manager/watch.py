"""Decides that an amphora is dead, and has it replaced.

Silence alone proves nothing: it may be the health manager that does not hear. So a silent amphora is asked
directly before anything happens, nobody is suspected while this program or the database has had trouble of
its own, and only so many are replaced at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.health_manager import statuses
from hydria.messages import Wakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraStatus
from hydria.planner.health import unserved_statuses
from hydria.settings import HealthManagerSettings
from hydria.store import Store, amphorae, changes, events, tables, trees
from hydria.store.events import What

LOG = logging.getLogger(__name__)
_TRIES = 3  # after so many failed ones a replacement does not keep others waiting any more


@dataclass(frozen=True, slots=True)
class Verdict:
    """One pass: the amphorae declared dead, and the sentence that explains it."""

    dead: tuple[str, ...]
    sentence: str


class Watch:
    """Looks for silent amphorae every ``health_check_interval``."""

    def __init__(
        self, store: Store, driver: AmphoraDriver, wakeups: Wakeups, settings: HealthManagerSettings
    ) -> None:
        self._store = store
        self._driver = driver
        self._wakeups = wakeups
        self._settings = settings
        self._trusted_from = time.monotonic() + settings.heartbeat_timeout
        self._last_pass = time.monotonic()
        self._offset = time.time() - time.monotonic()
        self._said = ""
        self._probes = ThreadPoolExecutor(settings.failover_threads, thread_name_prefix="probe")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._probes.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._settings.health_check_interval):
            try:
                verdict = self.look()
            except Unavailable as error:
                self._distrust()
                verdict = Verdict((), f"no amphora is judged while the database is away: {error}")
            except Exception:
                LOG.exception("The look for silent amphorae broke off")
                continue
            if verdict.sentence != self._said:
                self._said = verdict.sentence
                LOG.log(
                    logging.WARNING if verdict.sentence else logging.INFO,
                    "%s",
                    verdict.sentence or "All well",
                )

    def look(self) -> Verdict:
        """One pass."""
        self._mind_the_clocks()
        try:
            return self._look()
        finally:
            self._last_pass = time.monotonic()  # asking amphorae may take longer than a pass

    def _look(self) -> Verdict:
        if time.monotonic() < self._trusted_from:
            return Verdict((), "")
        with self._store.read() as tx:
            silent = self._silent(tx)
            under_way = _under_replacement(tx)
        if not silent:
            return Verdict((), "")
        threshold = self._settings.failover_threshold
        if threshold and len(silent) >= threshold:
            return Verdict(
                (), f"{len(silent)} amphorae are silent, failover_threshold is {threshold}: none is replaced"
            )
        said = f"{len(silent)} amphorae are silent"
        budget = self._settings.failover_threads - under_way
        if budget <= 0:
            return Verdict((), f"{said}; {under_way} others are being replaced first")
        asked, dead, replaced = self._ask(silent, budget)
        said += f"; {asked - dead} of {asked if asked < len(silent) else 'them'} answer when asked"
        if dead:
            names = ", ".join(replaced) or "none for now"
            said += f"; {dead} do not and are replaced: {names}"
        return Verdict(tuple(replaced), said)

    def _ask(self, silent: Sequence[Amphora], budget: int) -> tuple[int, int, list[str]]:
        """Ask silent amphorae, some at a time, and give up as many of the mute ones as the budget allows.

        How many were asked, how many did not answer, and the ids of those that were given up.
        """
        asked = dead = 0
        replaced: list[str] = []
        step = max(1, self._settings.failover_threads)
        for start in range(0, len(silent), step):
            some = silent[start : start + step]
            answers = list(self._probes.map(self._driver.alive, some))
            mute = [amphora for amphora, alive in zip(some, answers, strict=True) if not alive]
            asked, dead = asked + len(some), dead + len(mute)
            given_up = (amphora.id for amphora in mute if self._give_up(amphora))
            replaced += islice(given_up, budget - len(replaced))
            if len(replaced) >= budget or self._stopped.is_set():
                break
        return asked, dead, replaced

    def _silent(self, tx: sa.Connection) -> tuple[Amphora, ...]:
        now, timeout = time.time(), self._settings.heartbeat_timeout
        return amphorae.silent(tx, now - timeout, now + timeout)

    def _mind_the_clocks(self) -> None:
        """Judge nobody for a while after this program stood still, or the host's clock was set.

        Heartbeats are noted by the clock on the wall, so that all health managers can read them.
        """
        now, offset = time.monotonic(), time.time() - time.monotonic()
        tolerated = self._settings.heartbeat_timeout / 2
        late = now - self._last_pass > self._settings.health_check_interval + tolerated
        if late or abs(offset - self._offset) > tolerated:
            self._distrust()
        self._offset = offset

    def _distrust(self) -> None:
        """Judge nobody until every living amphora has had the time to be heard again."""
        self._trusted_from = time.monotonic() + self._settings.heartbeat_timeout

    def _give_up(self, amphora: Amphora) -> bool:
        """Declare an amphora dead: its load balancer has work to do. False when it is not so any more."""

        def declare(tx: sa.Connection) -> bool:
            balancer = changes.lock(tx, amphora.load_balancer_id)
            if balancer is None or balancer.provisioning_status.going:
                return False
            if all(amphora.id != other.id for other in self._silent(tx)):
                return False  # heard again, or given up by another health manager meanwhile
            events.about(tx, balancer.id, balancer.project_id)
            amphorae.unwatch(tx, amphora.id)
            amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR)
            _note_unserved(tx, balancer.id)
            changes.touch(tx, balancer)
            events.note(tx, balancer, What.FAILOVER_START, amphora_id=amphora.id)
            return True

        if not self._store.transact(declare):
            return False
        self._wakeups.wake(amphora.load_balancer_id)
        return True


def _note_unserved(tx: sa.Connection, load_balancer_id: str) -> None:
    """Have the operating statuses say so when the last amphora that served is dead, until another reports."""
    if any(one.status is AmphoraStatus.ALLOCATED for one in trees.load_amphorae(tx, load_balancer_id)):
        return
    tree = trees.load_tree(tx, load_balancer_id)
    if tree is not None:
        statuses.write(tx, unserved_statuses(tree))


def _under_replacement(tx: sa.Connection) -> int:
    """How many amphorae are dead and not replaced yet; what never served is not dead, but unborn."""
    balancer, amphora = tables.load_balancers.c, tables.amphorae.c
    query = (
        sa.select(sa.func.count())
        .select_from(tables.amphorae)
        .join(tables.load_balancers, balancer.id == amphora.load_balancer_id)
        .where(amphora.status == "ERROR", amphora.applied_generation > 0, balancer.attempts < _TRIES)
    )
    return int(tx.execute(query).scalar_one())
