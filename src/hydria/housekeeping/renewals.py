"""Renewed certificates reach the amphorae without anybody touching the listener."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

import sqlalchemy as sa

from hydria.drivers.certificates.manager import Versions, versions
from hydria.messages import Wakeups
from hydria.model.errors import HydriaError
from hydria.store import Store, changes, secret_users
from hydria.store.secret_users import Watched

LOG = logging.getLogger(__name__)

_BATCH = 500  # load balancers
_FIRST = ("", "")


class Renewals:
    """Compares, every ``interval`` seconds, the secrets in their store with what amphorae were given."""

    def __init__(self, store: Store, manager: Versions, wakeups: Wakeups, interval: float) -> None:
        self._store = store
        self._manager = manager
        self._wakeups = wakeups
        self._interval = interval
        self._after = _FIRST
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewals", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self.look()
            except HydriaError as error:
                LOG.warning("Could not look for renewed certificates: %s", error)
            except Exception:
                LOG.exception("Could not look for renewed certificates")

    def look(self) -> list[str]:
        """One look: the ids of the load balancers that are to have newer secrets.

        It ends after ``interval`` seconds, however many there are; the next goes on where it ended.
        """
        began, renewed, known = time.monotonic(), list[str](), _Known(self._manager)
        while True:
            with self._store.read() as tx:
                batch = secret_users.watched(tx, _BATCH, self._after)
            renewed += [balancer.id for balancer in batch if self._is_renewed(balancer, known)]
            if len(batch) < _BATCH:
                self._after = _FIRST
                return renewed
            self._after = batch[-1].place
            if time.monotonic() - began > self._interval:
                LOG.info("Certificates of other load balancers than these are looked at next time")
                return renewed

    def _is_renewed(self, balancer: Watched, known: _Known) -> bool:
        try:
            found = versions(known, balancer.references, balancer.project_id)
            if found == balancer.versions or not self._store.transact(partial(_touch, seen=balancer)):
                return False
        except HydriaError as error:
            # Whether anything was renewed shows once the store answers; others may have another store.
            LOG.warning("Load balancer %s: its certificates are not looked at: %s", balancer.id, error)
            return False
        except Exception:
            LOG.exception("Load balancer %s: its certificates are not looked at", balancer.id)
            return False
        LOG.info("Load balancer %s: a certificate of it was renewed", balancer.id)
        self._wakeups.wake(balancer.id)
        return True


class _Known:
    """Asks for the version of each secret once, whoever refers to it; also when there is no answer."""

    def __init__(self, manager: Versions) -> None:
        self._manager = manager
        self._found: dict[tuple[str, str], str | HydriaError] = {}

    def version(self, reference: str, project_id: str) -> str:
        key = reference, project_id
        if key not in self._found:
            try:
                self._found[key] = self._manager.version(reference, project_id)
            except HydriaError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, HydriaError):
            raise found
        return found


def _touch(tx: sa.Connection, seen: Watched) -> bool:
    """Raise the generation, unless the load balancer has changed since it was looked at."""
    balancer = changes.lock(tx, seen.id)
    if balancer is None or balancer.generation != seen.generation:
        return False
    changes.touch(tx, balancer, secret_generation=0)
    return True
