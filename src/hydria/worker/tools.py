"""What the steps work with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from hydria.dataplane import Tuning
from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import HydriaError
from hydria.model.load_balancer import LoadBalancer
from hydria.settings import Settings
from hydria.store import Store, leases, rows
from hydria.store.leases import Lease

T = TypeVar("T")


class Interrupted(HydriaError):  # noqa: N818  (the domain's word for it)
    """A pass ends early, and what it has built stays for the next one."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Made once per worker program; each pass has a copy with its lease.

    controllers: ``host:port`` of the health managers. heartbeat_key: the deployment's secret.
    stopping: set when the worker is to end. lease: what every write of the pass is subject to.
    """

    settings: Settings
    store: Store
    network: NetworkDriver
    compute: ComputeDriver
    amphorae: AmphoraDriver
    authority: CertificateAuthority
    certificates: CertificateManager
    tuning: Tuning
    controllers: tuple[str, ...]
    heartbeat_key: str
    stopping: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in a transaction; Busy, and nothing written, when the lease is not ours any more."""
        lease = self.lease

        def under_lease(tx: sa.Connection) -> T:
            if lease is not None:
                leases.confirm(tx, lease)
            return work(tx)

        return self.store.transact(under_lease)

    def check_wanted(self) -> None:
        """Ask before something that takes long, or that a stale pass must not do, whether to go on.

        Raises Busy when the lease is somebody else's by now, Interrupted when the worker is to end or the
        load balancer is being deleted.
        """
        if self.stopping.is_set():
            raise Interrupted("the worker is being stopped; the next one goes on from here")
        if self.lease is None:
            return
        balancer_id = self.lease.load_balancer_id
        balancer = self.write(lambda tx: rows.load_one(tx, LoadBalancer, balancer_id))
        if balancer is None or balancer.provisioning_status.going:
            raise Interrupted("the load balancer is being deleted meanwhile")
