"""What the steps work with."""

from __future__ import annotations

from dataclasses import dataclass

from hydria.dataplane import Tuning
from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.settings import Settings
from hydria.store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """Made once per worker program.

    controllers: ``host:port`` of the health managers. heartbeat_key: the deployment's secret.
    """

    settings: Settings
    store: Store
    network: NetworkDriver
    compute: ComputeDriver
    amphorae: AmphoraDriver
    authority: CertificateAuthority
    tuning: Tuning
    controllers: tuple[str, ...]
    heartbeat_key: str
