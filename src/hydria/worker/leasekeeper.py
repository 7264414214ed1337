"""Keeps the leases of a worker's passes from running out while they take longer than one lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hydria.model.errors import Busy, Unavailable
from hydria.store import Store, leases
from hydria.store.leases import Lease

LOG = logging.getLogger(__name__)
_AGAIN = 1.0  # seconds until something is tried again for which the database was away


class LeaseKeeper:
    """Renews held leases, each every third of its time. Losing one shows when the pass confirms it.

    A lease that its pass could not give back, since the database was away, is given back later: otherwise
    nobody could go on before it has run out.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._held: dict[str, Lease] = {}
        self._returned: dict[Lease, float] = {}  # with the moment from which on it has run out anyway
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        """Renew a lease as long as the block runs."""
        with self._lock:
            self._held[lease.load_balancer_id] = lease
        try:
            yield
        except Unavailable:
            with self._lock:
                self._returned[lease] = time.monotonic() + self._seconds
            raise
        finally:
            with self._lock:
                self._held.pop(lease.load_balancer_id, None)

    def _run(self) -> None:
        third = self._seconds / 3
        renewal = time.monotonic() + third
        while not self._stopped.wait(min(_AGAIN, third)):
            try:
                self.give_back()
                if time.monotonic() >= renewal and self.renew():
                    renewal = time.monotonic() + third
            except Exception:
                # Without this thread every long pass would lose its lease.
                LOG.exception("Leases were not renewed")

    def give_back(self) -> None:
        """Release the leases whose passes could not."""
        with self._lock:
            returned = dict(self._returned)
        for lease, end in returned.items():
            try:
                self._release(lease)
            except Unavailable:
                if time.monotonic() < end:
                    continue
            except Busy:
                pass  # somebody else has it by now
            with self._lock:
                self._returned.pop(lease, None)

    def renew(self) -> bool:
        """Renew the held leases; False when the database was away, so that it is to be tried again soon."""
        with self._lock:
            held = list(self._held.values())
        for lease in held:
            try:
                kept = self._renew(lease)
            except Unavailable as error:
                LOG.warning("Lease on load balancer %s not renewed: %s", lease.load_balancer_id, error)
                return False
            if not kept and self._holds(lease):
                LOG.warning("The lease on load balancer %s is over before its pass", lease.load_balancer_id)
        return True

    def _release(self, lease: Lease) -> None:
        self._store.transact(lambda tx: leases.confirm(tx, lease, release=True))

    def _renew(self, lease: Lease) -> bool:
        return self._store.transact(
            lambda tx: leases.renew(tx, lease, moment=time.time(), seconds=self._seconds)
        )

    def _holds(self, lease: Lease) -> bool:
        with self._lock:
            return self._held.get(lease.load_balancer_id) == lease
