"""The housekeeping program."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.housekeeping import certificates
from hydria.housekeeping.orphans import Orphans
from hydria.housekeeping.renewals import Renewals
from hydria.model.errors import HydriaError
from hydria.processes import has_died
from hydria.settings import Settings
from hydria.store import Store, handovers, rows, upkeep

LOG = logging.getLogger(__name__)

# Rows that are purged in one transaction, and transactions in one pass.
_PURGED, _PURGES = 500, 20


@dataclass(frozen=True, slots=True)
class Swept:
    """One pass: how many of each were removed or renewed, and how many more are to be.

    unpurged: deleted load balancers and amphorae have expired that are purged by later passes.
    unremoved: orphans that are left. unrenewed: amphorae whose certificates end soon, besides.
    """

    load_balancers: int = 0
    amphorae: int = 0
    instances: int = 0
    ports: int = 0
    handovers: int = 0
    renewed: int = 0
    unpurged: bool = False
    unremoved: int = 0
    unrenewed: int = 0

    @property
    def sentence(self) -> str:
        """What was done and how far behind it is, "" when nothing was and it is not."""
        renewals = f"{self.renewed} amphorae to be replaced before their certificates end"
        behind = f" ({self.unrenewed} more are due)" if self.unrenewed else ""
        parts = [
            f"{self.load_balancers} deleted load balancers purged" if self.load_balancers else "",
            f"{self.amphorae} deleted amphorae purged" if self.amphorae else "",
            "more are to be purged" if self.unpurged else "",
            f"{self.instances} instances without an owner removed" if self.instances else "",
            f"{self.ports} ports without an owner removed" if self.ports else "",
            f"{self.unremoved} instances or ports without an owner are still there" if self.unremoved else "",
            renewals + behind if self.renewed or behind else "",
            f"{self.handovers} changes that no provider has taken undone" if self.handovers else "",
        ]
        return ", ".join(part for part in parts if part)


class Housekeeping:
    """A pass every ``cleanup_interval``. What goes wrong with one part of it keeps no other from its turn."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        compute: ComputeDriver,
        network: NetworkDriver,
        renewals: Renewals | None = None,
    ) -> None:
        self._settings = settings.house_keeping
        self._store = store
        self._orphans = Orphans(store, compute, network, self._settings.orphan_age)
        self._renewals = renewals
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()
        if self._renewals:
            self._renewals.start()

    def stop(self) -> None:
        """Sweep no more."""
        self._stopped.set()
        if self._renewals:
            self._renewals.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if sentence := self.sweep().sentence:
                LOG.info("%s", sentence)
            self._stopped.wait(self._settings.cleanup_interval)

    def sweep(self) -> Swept:
        """One pass."""
        amphorae, more_amphorae = _part("Deleted amphorae are not purged", self._purge_amphorae)
        balancers, more_balancers = _part("Deleted load balancers are not purged", self._purge_balancers)
        undone, _ = _part("Changes that no provider has taken are not undone", self._undo_abandoned)
        instances, more_instances = _part("Orphaned instances are not found", self._orphans.end_instances)
        ports, more_ports = _part("Orphaned ports are not found", self._orphans.free_ports)
        renewed, unrenewed = _part("Certificates of amphorae are not renewed", self._renew)
        return Swept(
            balancers, amphorae, instances, ports, undone, renewed,
            unpurged=bool(more_balancers or more_amphorae),
            unremoved=more_instances + more_ports,
            unrenewed=unrenewed,
        )  # fmt: skip

    def _renew(self) -> tuple[int, int]:
        return certificates.renew(self._store, self._settings)

    def _purge_balancers(self) -> tuple[int, int]:
        return self._purge(upkeep.purge_load_balancers, self._settings.load_balancer_expiry_age)

    def _purge_amphorae(self) -> tuple[int, int]:
        return self._purge(upkeep.purge_amphorae, self._settings.amphora_expiry_age)

    def _purge(self, purge: Callable[[sa.Connection, datetime, int], int], age: float) -> tuple[int, int]:
        """Remove what has expired, some in a transaction: how many, and 1 when there are more for later."""
        before, purged = rows.now() - timedelta(seconds=age), 0
        for _ in range(_PURGES):
            found = self._store.transact(lambda tx: purge(tx, before, _PURGED))
            purged += found
            if found < _PURGED:
                return purged, 0
        return purged, 1

    def _undo_abandoned(self) -> tuple[int, int]:
        """Take changes back whose API program has ended before the provider had taken them."""
        with self._store.read() as tx:
            found = handovers.abandoned(tx, has_died, self._settings.handover_age)
        return sum(self._undone(*key) for key in found), 0

    def _undone(self, load_balancer_id: str, generation: int) -> bool:
        undo = functools.partial(handovers.undo, load_balancer_id=load_balancer_id, generation=generation)
        try:
            if not self._store.transact(undo):
                return False
        except Exception:
            LOG.exception("Load balancer %s: generation %d cannot be undone", load_balancer_id, generation)
            return False
        LOG.warning(
            "Load balancer %s: nobody has taken generation %d, which is undone", load_balancer_id, generation
        )
        return True


def _part(failure: str, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """What a part of a pass has done; nothing when it could not, which the log says."""
    try:
        return work()
    except HydriaError as error:
        LOG.warning("%s: %s", failure, error)
    except Exception:
        LOG.exception("%s", failure)
    return 0, 0
