"""Keeps the leases of a worker's passes from running out while they take longer than one lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hydria.model.errors import Unavailable
from hydria.store import Store, leases
from hydria.store.leases import Lease

LOG = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews held leases, each every third of its time. Losing one shows when the pass confirms it."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._held: dict[str, Lease] = {}
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
        finally:
            with self._lock:
                self._held.pop(lease.load_balancer_id, None)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds / 3):
            with self._lock:
                held = list(self._held.values())
            for lease in held:
                self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        try:
            kept = self._store.transact(
                lambda tx: leases.renew(tx, lease, moment=time.time(), seconds=self._seconds)
            )
        except Unavailable as error:
            LOG.warning("Lease on load balancer %s not renewed: %s", lease.load_balancer_id, error)
            return
        if not kept:
            LOG.info("Lease on load balancer %s is over", lease.load_balancer_id)
