"""Decides that an amphora is dead, and has it replaced.

Silence alone proves nothing: it may be the health manager that does not hear. So a silent amphora is asked
directly before anything happens, nobody is suspected while this program or the database has had trouble of
its own, and only so many are replaced at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import sqlalchemy as sa

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.messages import Wakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.settings import HealthManagerSettings
from hydria.store import Store, amphorae, changes, tables

LOG = logging.getLogger(__name__)


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
        now = time.monotonic()
        late = (
            now - self._last_pass
            > self._settings.health_check_interval + self._settings.heartbeat_timeout / 2
        )
        self._last_pass = now
        if late:
            self._distrust()
        if now < self._trusted_from:
            return Verdict((), "")
        with self._store.read() as tx:
            silent = amphorae.silent(tx, time.time() - self._settings.heartbeat_timeout)
            broken = tx.execute(
                sa.select(sa.func.count()).where(tables.amphorae.c.status.in_(["BOOTING", "ERROR"]))
            ).scalar_one()
        if not silent:
            return Verdict((), "")
        threshold = self._settings.failover_threshold
        if threshold and len(silent) >= threshold:
            return Verdict(
                (), f"{len(silent)} amphorae are silent, failover_threshold is {threshold}: none is replaced"
            )
        budget = max(0, self._settings.failover_threads - broken)
        answers = list(self._probes.map(self._driver.alive, silent))
        dead = [amphora for amphora, alive in zip(silent, answers, strict=True) if not alive]
        replaced = [amphora for amphora in dead[:budget] if self._give_up(amphora)]
        sentence = f"{len(silent)} amphorae are silent; {len(silent) - len(dead)} of them answer when asked"
        if dead:
            names = ", ".join(amphora.id for amphora in replaced) or "none for now"
            sentence += f"; {len(dead)} do not and are replaced: {names}"
        return Verdict(tuple(amphora.id for amphora in replaced), sentence)

    def _distrust(self) -> None:
        """Judge nobody until every living amphora has had the time to be heard again."""
        self._trusted_from = time.monotonic() + self._settings.heartbeat_timeout

    def _give_up(self, amphora: Amphora) -> bool:
        """Declare an amphora dead: its load balancer has work to do."""

        def declare(tx: sa.Connection) -> bool:
            balancer = changes.lock(tx, amphora.load_balancer_id)
            if balancer is None or balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE:
                return False
            amphorae.unwatch(tx, amphora.id)
            amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR)
            changes.touch(tx, balancer)
            return True

        if not self._store.transact(declare):
            return False
        self._wakeups.wake(amphora.load_balancer_id)
        return True
