"""The housekeeping program."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.housekeeping.renewals import Renewals
from hydria.model.errors import HydriaError
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.processes import has_died
from hydria.settings import Settings
from hydria.store import Store, changes, events, handovers, rows, tables
from hydria.store.amphorae import request_failover
from hydria.store.events import What

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """One pass: how many of each were removed."""

    load_balancers: int = 0
    amphorae: int = 0
    instances: int = 0
    ports: int = 0
    handovers: int = 0
    renewed: int = 0

    @property
    def sentence(self) -> str:
        """What was done, "" when nothing was."""
        parts = [
            f"{self.load_balancers} deleted load balancers purged" if self.load_balancers else "",
            f"{self.amphorae} deleted amphorae purged" if self.amphorae else "",
            f"{self.instances} instances without an owner removed" if self.instances else "",
            f"{self.ports} ports without an owner removed" if self.ports else "",
            f"{self.renewed} amphorae to be replaced before their certificates end" if self.renewed else "",
            f"{self.handovers} changes that no provider has taken undone" if self.handovers else "",
        ]
        return ", ".join(part for part in parts if part)


class Housekeeping:
    """A pass every ``cleanup_interval``.

    Something without an owner is removed once it has been without one for ``orphan_age``, so that what is
    just being made is left alone. That time counts from when this program first saw it.
    """

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
        self._compute = compute
        self._network = network
        self._renewals = renewals
        self._suspected: dict[str, float] = {}
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
            try:
                swept = self.sweep()
            except HydriaError as error:
                LOG.warning("The sweep broke off: %s", error)
            except Exception:
                LOG.exception("The sweep broke off")
            else:
                if swept.sentence:
                    LOG.info("%s", swept.sentence)
            self._stopped.wait(self._settings.cleanup_interval)

    def sweep(self) -> Swept:
        """One pass."""
        load_balancers, amphorae = self._store.transact(self._purge)
        undone = self._undo_abandoned()
        instances, ports = self._remove_orphans()
        renewed = sum(self._renew(*found) for found in self._expiring())
        return Swept(load_balancers, amphorae, instances, ports, undone, renewed)

    def _expiring(self) -> Sequence[tuple[str, str]]:
        """Amphora and load balancer of each certificate that is about to end, the first to end first."""
        if not self._settings.cert_expiry_buffer:
            return ()
        amphora = tables.amphorae.c
        soon = rows.now() + timedelta(seconds=self._settings.cert_expiry_buffer)
        query = (
            sa.select(amphora.id, amphora.load_balancer_id)
            .where(
                amphora.status == str(AmphoraStatus.ALLOCATED),
                amphora.failover_requested.is_(False),
                amphora.cert_expiration < soon,
            )
            .order_by(amphora.cert_expiration)
            .limit(self._settings.cert_rotate_threads)
        )
        with self._store.read() as tx:
            return [(row.id, row.load_balancer_id) for row in tx.execute(query)]

    def _renew(self, amphora_id: str, load_balancer_id: str) -> bool:
        """Want another amphora in the place of one whose certificate ends; traffic moves when it is ready."""

        def work(tx: sa.Connection) -> bool:
            balancer = changes.lock(tx, load_balancer_id)
            if balancer is None or balancer.provisioning_status is not ProvisioningStatus.ACTIVE:
                return False  # later
            request_failover(tx, amphora_id=amphora_id)
            changes.touch(tx, balancer)
            events.note(tx, balancer, What.FAILOVER_START, amphora_id=amphora_id)
            return True

        return self._store.transact(work)

    def _undo_abandoned(self) -> int:
        """Take changes back whose API program has ended before the provider had taken them."""
        with self._store.read() as tx:
            found = handovers.abandoned(tx, has_died, self._settings.handover_age)
        undone = 0
        for key in found:
            if self._store.transact(
                functools.partial(handovers.undo, load_balancer_id=key[0], generation=key[1])
            ):
                LOG.warning("Load balancer %s: nobody has taken generation %d, which is undone", *key)
                undone += 1
        return undone

    def _purge(self, tx: sa.Connection) -> tuple[int, int]:
        old = rows.now() - timedelta(seconds=self._settings.amphora_expiry_age)
        amphorae = tables.amphorae
        purged = tx.execute(
            sa.delete(amphorae).where(amphorae.c.status == "DELETED", amphorae.c.updated_at < old)
        ).rowcount
        old = rows.now() - timedelta(seconds=self._settings.load_balancer_expiry_age)
        balancers = tables.load_balancers
        gone = tx.execute(
            sa.delete(balancers).where(
                balancers.c.provisioning_status == "DELETED", balancers.c.updated_at < old
            )
        ).rowcount
        return gone, purged

    def _remove_orphans(self) -> tuple[int, int]:
        """Instances and ports of this deployment whose owner is not in the database."""
        # What there is, before who owns it: whoever makes something writes its owner down first.
        instances = {instance.compute_id: instance.name for instance in self._compute.instances()}
        ports = {port.id: port.owner for port in self._network.ports()}
        with self._store.read() as tx:
            amphorae = tables.amphorae.c
            living = tx.execute(sa.select(amphorae.id).where(amphorae.status != "DELETED")).scalars()
            owners = {f"amphora-{amphora_id}" for amphora_id in living}
            balancers = tables.load_balancers.c
            kept = tx.execute(
                sa.select(balancers.id).where(balancers.provisioning_status != "DELETED")
            ).scalars()
            owners |= {f"lb-{balancer_id}" for balancer_id in kept}
        orphans = {f"instance {key}" for key, name in instances.items() if name not in owners}
        orphans |= {f"port {key}" for key, owner in ports.items() if owner not in owners}
        now = time.monotonic()
        self._suspected = {orphan: self._suspected.get(orphan, now) for orphan in orphans}
        ripe = {
            orphan for orphan, since in self._suspected.items() if now - since >= self._settings.orphan_age
        }
        ended = sum(
            _removed(f"Instance {key} ({instances[key]})", self._compute.delete, key)
            for key in instances
            if f"instance {key}" in ripe
        )
        freed = sum(
            _removed(f"Port {key} ({ports[key]})", self._network.delete_port, key)
            for key in ports
            if f"port {key}" in ripe
        )
        return ended, freed


def _removed(what: str, remove: Callable[[str], object], key: str) -> bool:
    """Remove an orphan; False when that failed, which must not keep the others alive."""
    try:
        remove(key)
    except HydriaError as error:
        LOG.warning("%s has no owner, but cannot be removed: %s", what, error)
        return False
    LOG.info("%s has no owner: it is removed", what)
    return True
