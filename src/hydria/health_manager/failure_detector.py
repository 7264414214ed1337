"""Declares amphorae dead and has them replaced.

Silence alone proves nothing: it may be the health manager that does not hear. So nobody is suspected whose
heartbeats this program has received but not recorded yet, nor while this program or the database has had
trouble of its own, nor while a large share of all amphorae is silent. A suspect is asked directly before
anything happens. Only so many are replaced at a time, over all health managers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import sqlalchemy as sa

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.health_manager.receiver import Last
from hydria.messages import Wakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraStatus
from hydria.planner.health import unserved_statuses
from hydria.settings import HealthManagerSettings
from hydria.store import Store, amphorae, changes, events, health_managers, heartbeats, observed, trees
from hydria.store.events import What
from hydria.store.heartbeats import Silent

LOG = logging.getLogger(__name__)
_TRIES = 3  # failed passes after which a replacement is hopeless
_PAGES = (1000, 20_000)  # silent amphorae looked at in one pass; more when there are more
_FEW = 3  # silent amphorae that say nothing about the network, however few there are in all
_HOPELESS_PAUSE = 60.0  # seconds between replacements while all of the budget is hopeless
_COUNTED = 60.0  # seconds for which the number of watched amphorae is believed


@dataclass(frozen=True, slots=True)
class Verdict:
    """One pass: the amphorae declared dead, and the sentence that explains it."""

    dead: tuple[str, ...]
    sentence: str


class FailureDetector:
    """Looks for silent amphorae every ``health_check_interval``.

    heard: what this program's receiver has heard of an amphora last. trusts: whether silence of a load
    balancer's amphorae is this program's business, and has been for long enough. share: how much of all is.
    """

    def __init__(
        self,
        store: Store,
        driver: AmphoraDriver,
        wakeups: Wakeups,
        settings: HealthManagerSettings,
        *,
        heard: Callable[[str], Last | None] = lambda _amphora_id: None,
        trusts: Callable[[str], bool] = lambda _load_balancer_id: True,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._store = store
        self._driver = driver
        self._wakeups = wakeups
        self._settings = settings
        self._heard = heard
        self._trusts = trusts
        self._share = share
        self._trusted_from = time.monotonic() + settings.heartbeat_timeout
        self._last_pass = time.monotonic()
        self._offset = time.time() - time.monotonic()
        self._allowed = settings.failover_threads  # in one pass; fewer for a while after the breaker was open
        self._last_despite_hopeless = -_HOPELESS_PAUSE
        self._watched = (0, -_COUNTED)  # how many, and when they were counted
        self._said = ""
        self._probes = ThreadPoolExecutor(settings.failover_threads, thread_name_prefix="probe")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="failure-detector", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
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
            mine, number, of_all = self._silent(tx)
            watched = round(self._count_watched(tx) * self._share()) if number > _FEW else 0
            under_way, hopeless = health_managers.under_replacement(tx, _TRIES) if mine else (0, 0)
        if refusal := self._breaks(number, watched, of_all):
            return Verdict((), refusal)
        self._recover()
        if not mine:
            return Verdict((), "")
        said = f"{number} amphorae are silent"
        if hopeless:
            said += f"; the replacement of {hopeless} dead ones fails again and again"
        budget = min(self._budget(under_way, hopeless), self._allowed)
        if budget <= 0:
            return Verdict((), f"{said}; {under_way} others are being replaced first")
        asked, dead, replaced = self._ask(mine, budget)
        said += f"; {asked - dead} of {asked if asked < number else 'them'} answer when asked"
        if dead:
            names = ", ".join(replaced) or "none for now"
            said += f"; {dead} do not and are replaced: {names}"
        return Verdict(tuple(replaced), said)

    def _silent(self, tx: sa.Connection) -> tuple[list[Amphora], int, int]:
        """Silent amphorae of this program's share, the longest silent first; how many there are; of all."""
        for limit in _PAGES:
            page = heartbeats.silent(tx, *self._bounds(), limit)
            if len(page) < limit:
                break
        silent = [one for one in page if not self._is_heard(one)]
        mine = [one.amphora for one in silent if self._trusts(one.amphora.load_balancer_id)]
        if len(page) < limit:
            return mine, len(mine), len(silent)
        beyond = heartbeats.count_silent(tx, *self._bounds()) / len(page)
        return mine, round(len(mine) * beyond), round(len(silent) * beyond)

    def _bounds(self) -> tuple[float, float]:
        now, timeout = time.time(), self._settings.heartbeat_timeout
        return now - timeout, now + timeout

    def _is_heard(self, one: Silent) -> bool:
        """Whether it was heard here, and that is only not recorded yet: a replay is older than the record."""
        last = self._heard(one.amphora.id)
        if last is None or time.monotonic() - last.at > self._settings.heartbeat_timeout:
            return False
        return (last.epoch, last.sequence) > (one.epoch, one.sequence)

    def _count_watched(self, tx: sa.Connection) -> int:
        number, at = self._watched
        if time.monotonic() - at >= _COUNTED:
            number = heartbeats.count_watched(tx)
            self._watched = (number, time.monotonic())
        return number

    def _breaks(self, silent: int, watched: int, of_all: int) -> str:
        """Why nobody is replaced now; empty if nothing speaks against it.

        The share is that of the amphorae which this program looks after: what colleagues do not hear, or have
        noted by a clock that is wrong, says nothing about those.
        """
        threshold = self._settings.failover_threshold
        if threshold and of_all >= threshold:
            return f"{of_all} amphorae are silent, failover_threshold is {threshold}: none is replaced"
        share = self._settings.failover_breaker_share
        if not share or silent <= _FEW or silent <= share * watched:
            return ""
        self._allowed = 0
        return (
            f"{silent} of {watched} amphorae are silent, more than [health_manager] failover_breaker_share ="
            f" {share:g} of them: that is the network or this host rather than the amphorae. None is"
            " replaced until fewer are; failovers that somebody asks for go on"
        )

    def _recover(self) -> None:
        """After the breaker was open, replace one amphora in the first pass, then twice as many in each."""
        self._allowed = min(self._settings.failover_threads, max(1, 2 * self._allowed))

    def _budget(self, under_way: int, hopeless: int) -> int:
        """How many may be declared dead now.

        Hopeless ones keep their place, or a compute service that builds nothing would cost amphora after
        amphora. When they have taken all places, one is tried now and then: the fault may be theirs alone.
        """
        free = self._settings.failover_threads - under_way
        if free > 0 or hopeless < under_way or not hopeless:
            return free
        return int(time.monotonic() - self._last_despite_hopeless >= _HOPELESS_PAUSE)

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
            for amphora in mute:
                if len(replaced) < budget and self._mark_failed(amphora):
                    replaced.append(amphora.id)
            if len(replaced) >= budget or self._stopped.is_set():
                break
        return asked, dead, replaced

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

    def _mark_failed(self, amphora: Amphora) -> bool:
        """Declare an amphora dead: its load balancer has work to do. False when it is not so any more."""

        def declare(tx: sa.Connection) -> bool | None:
            balancer = changes.lock(tx, amphora.load_balancer_id)
            if balancer is None or balancer.provisioning_status.going:
                return False
            health_managers.lock_budget(tx)
            if not heartbeats.is_silent(tx, amphora.id, *self._bounds()):
                return False  # heard again, or given up by another health manager meanwhile
            under_way, hopeless = health_managers.under_replacement(tx, _TRIES)
            if self._budget(under_way, hopeless) <= 0:
                return False  # spent by another health manager meanwhile
            events.about(tx, balancer.id, balancer.project_id)
            amphorae.unwatch(tx, amphora.id)
            amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR)
            _note_unserved(tx, balancer.id)
            changes.touch(tx, balancer)
            events.note(tx, balancer, What.FAILOVER_START, amphora_id=amphora.id)
            return None if under_way >= self._settings.failover_threads else True

        marked = self._store.transact(declare)
        if marked is False:
            return False
        if marked is None:
            self._last_despite_hopeless = time.monotonic()
        self._wakeups.wake(amphora.load_balancer_id)
        return True


def _note_unserved(tx: sa.Connection, load_balancer_id: str) -> None:
    """Have the operating statuses say so when the last amphora that served is dead, until another reports."""
    if any(one.status is AmphoraStatus.ALLOCATED for one in trees.load_amphorae(tx, load_balancer_id)):
        return
    found = observed.load(tx, [load_balancer_id]).get(load_balancer_id)
    if found is not None:
        observed.write(tx, found, unserved_statuses(found))
