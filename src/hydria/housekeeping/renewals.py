"""Renewed certificates reach the amphorae without anybody touching the listener."""

from __future__ import annotations

import logging
import threading
from functools import partial

import sqlalchemy as sa

from hydria.drivers.certificates.manager import CertificateManager, versions
from hydria.messages import Wakeups
from hydria.model import secrets
from hydria.model.errors import HydriaError
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.store import Store, changes, rows, tables, trees

LOG = logging.getLogger(__name__)


class Renewals:
    """Compares, every ``interval`` seconds, the secrets in their store with what amphorae were given."""

    def __init__(self, store: Store, manager: CertificateManager, wakeups: Wakeups, interval: float) -> None:
        self._store = store
        self._manager = manager
        self._wakeups = wakeups
        self._interval = interval
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
        """One look: the ids of the load balancers that are to have newer secrets."""
        with self._store.read() as tx:
            candidates = [(balancer, _references(tx, balancer)) for balancer in trees.with_secrets(tx)]
        renewed = []
        for balancer, references in candidates:
            try:
                found = versions(self._manager, references, balancer.project_id)
            except HydriaError as error:
                # Whether anything was renewed shows once the store answers; others may have another store.
                LOG.warning("Load balancer %s: its certificates are not looked at: %s", balancer.id, error)
                continue
            if found != balancer.secret_versions and self._store.transact(partial(_touch, seen=balancer)):
                LOG.info("Load balancer %s: a certificate of it was renewed", balancer.id)
                self._wakeups.wake(balancer.id)
                renewed.append(balancer.id)
        return renewed


def _references(tx: sa.Connection, balancer: LoadBalancer) -> list[str]:
    items = [
        item
        for resource in (Listener, Pool)
        for item in rows.load(tx, resource, tables.table_of(resource).c.load_balancer_id == balancer.id)
        if item.desired
    ]
    return list(secrets.in_use(balancer, items))


def _touch(tx: sa.Connection, seen: LoadBalancer) -> bool:
    """Raise the generation, unless the load balancer has changed since it was looked at."""
    balancer = changes.lock(tx, seen.id)
    if balancer is None or balancer.generation != seen.generation:
        return False
    changes.touch(tx, balancer, secret_generation=0)
    return True
