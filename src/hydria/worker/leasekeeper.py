"""Keeps the leases of a worker from running out, from when they are claimed to the end of the pass."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
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
        self._doubted: set[Lease] = set()  # not renewed the last time: over, or just given back by its pass
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

    def hold(self, claimed: Iterable[Lease]) -> None:
        """Renew leases whose passes are to begin, until :meth:`keep` ends or :meth:`put_back` is called."""
        with self._lock:
            self._held |= {lease.load_balancer_id: lease for lease in claimed}

    def put_back(self, unused: Iterable[Lease]) -> None:
        """Give back leases whose passes do not begin."""
        with self._lock:
            for lease in unused:
                self._held.pop(lease.load_balancer_id, None)
                self._returned[lease] = time.monotonic() + self._seconds
        self.give_back()

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        """Renew a lease as long as the block runs."""
        self.hold([lease])
        try:
            yield
        except Unavailable:
            with self._lock:
                self._returned[lease] = time.monotonic() + self._seconds
            raise
        finally:
            with self._lock:
                if self._held.get(lease.load_balancer_id) == lease:
                    del self._held[lease.load_balancer_id]
                self._doubted.discard(lease)

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
            if not kept and self._doubt(lease):
                LOG.warning("The lease on load balancer %s is over before its pass", lease.load_balancer_id)
        return True

    def _doubt(self, lease: Lease) -> bool:
        """Whether a lease that is not ours any more was not the last time either, and its pass goes on.

        One that its pass has just given back is held for a moment longer.
        """
        with self._lock:
            if self._held.get(lease.load_balancer_id) != lease:
                return False
            again = lease in self._doubted
            self._doubted.add(lease)
            return again

    def _release(self, lease: Lease) -> None:
        self._store.transact(lambda tx: leases.confirm(tx, lease, release=True))

    def _renew(self, lease: Lease) -> bool:
        return self._store.transact(
            lambda tx: leases.renew(tx, lease, moment=time.time(), seconds=self._seconds)
        )
