"""What the steps work with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from hydria.dataplane import Tuning
from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.amphora import AmphoraPort
from hydria.model.errors import HydriaError
from hydria.settings import Settings
from hydria.store import Store, leases
from hydria.store.leases import Lease
from hydria.worker.findings import Findings
from hydria.worker.outcomes import Outcomes

T = TypeVar("T")
Write = Callable[[sa.Connection], object]


class Interrupted(HydriaError):  # noqa: N818  (the domain's word for it)
    """A pass ends early, and what it has built stays for the next one."""


class Notes:
    """What a pass has achieved and not written down yet: it is written with whatever it writes next.

    So at the latest with its end, whichever that is. When the program dies before that the next pass finds
    the rows as they were, and does again what was done already.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: list[Write] = []

    def add(self, work: Write) -> None:
        """Have this be done in the next transaction."""
        self._works.append(work)

    @contextmanager
    def taken(self) -> Iterator[Write]:
        """What writes all of them in a transaction, however often that is tried.

        They are forgotten at the block's end, unless that is an exception: then they are still to be written.
        """
        with self._lock:
            works = tuple(self._works)

            def write(tx: sa.Connection) -> None:
                for work in works:
                    work(tx)

            yield write
            del self._works[: len(works)]


@dataclass(frozen=True, slots=True)
class Tools:
    """Made once per worker program; each pass has a copy with its lease.

    controllers: ``host:port`` of the health managers. heartbeat_key: the deployment's secret.
    stopping: set when the worker is to end. lease: what every write of the pass is subject to.
    notes: what the pass has still to write. findings: what of the load balancer it could not serve.
    outcomes: what became of its steps. vip_ports: what is recorded of the ports of amphorae, by amphora.
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
    notes: Notes = field(default_factory=Notes)
    findings: Findings = field(default_factory=Findings)
    outcomes: Outcomes = field(default_factory=Outcomes)
    vip_ports: Mapping[str, AmphoraPort] = field(default_factory=dict)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in a transaction; Busy, and nothing written, when the lease is not ours any more."""

        def under_lease(tx: sa.Connection, notes: Write) -> T:
            if self.lease is not None:
                leases.confirm(tx, self.lease)
            notes(tx)
            return work(tx)

        return self.transact(under_lease)

    def transact(self, work: Callable[[sa.Connection, Write], T]) -> T:
        """Run ``work`` in a transaction: once the lease is confirmed it calls what it gets for the notes."""
        with self.notes.taken() as notes:
            return self.store.transact(lambda tx: work(tx, notes))

    def check_wanted(self) -> None:
        """Ask before something that takes long, or that a stale pass must not do, whether to go on.

        Raises Busy when the lease is somebody else's by now, Interrupted when the worker is to end or the
        load balancer is being deleted.
        """
        if self.stopping.is_set():
            raise Interrupted("the worker is being stopped; the next one goes on from here")
        if self.lease is None:
            return
        with self.store.read() as tx:
            wanted = leases.wanted(tx, self.lease)
        if not wanted:
            raise Interrupted("the load balancer is being deleted meanwhile")
