"""Drivers by name, through entry points."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import Invalid
from hydria.model.statuses import Topology
from hydria.settings import Settings


def compute_driver(settings: Settings) -> ComputeDriver:
    """The compute driver that ``[controller_worker] compute_driver`` names."""
    loaded: ComputeDriver = _load("compute", settings.controller_worker.compute_driver, settings)
    return loaded


def network_driver(settings: Settings) -> NetworkDriver:
    """The network driver that ``[controller_worker] network_driver`` names."""
    loaded: NetworkDriver = _load("network", settings.controller_worker.network_driver, settings)
    return loaded


def amphora_driver(settings: Settings, authority: CertificateAuthority) -> AmphoraDriver:
    """The amphora driver that ``[controller_worker] amphora_driver`` names."""
    loaded: AmphoraDriver = _load("amphora", settings.controller_worker.amphora_driver, settings, authority)
    return loaded


def topologies(settings: Settings) -> frozenset[Topology]:
    """What the amphora driver serves; also for programs that talk to no amphora."""
    driver: type[AmphoraDriver] = _find("amphora", settings.controller_worker.amphora_driver).load()
    return driver.topologies


def certificate_manager(settings: Settings) -> CertificateManager:
    """The store of secrets that ``[certificates] cert_manager`` names."""
    loaded: CertificateManager = _load("certificates", settings.certificates.cert_manager, settings)
    return loaded


def check(settings: Settings) -> None:
    """Raise Invalid unless all drivers that the settings name are installed, and serve what they ask for."""
    worker = settings.controller_worker
    for interface in ("compute", "network", "amphora"):
        _find(interface, getattr(worker, f"{interface}_driver"))
    _find("certificates", settings.certificates.cert_manager)
    served = topologies(settings)
    if worker.loadbalancer_topology not in served:
        raise Invalid(
            f"[controller_worker] loadbalancer_topology = {worker.loadbalancer_topology}: the amphora driver"
            f" {worker.amphora_driver} serves {', '.join(sorted(served))} alone."
        )


def _load(interface: str, name: str, *arguments: object) -> Any:
    return _find(interface, name).load()(*arguments)


def _find(interface: str, name: str) -> metadata.EntryPoint:
    """The interface's entry point of this name; Invalid, with the names there are, when there is none."""
    installed = _installed(interface)
    if name not in installed:
        option = _OPTIONS.get(interface, f"[controller_worker] {interface}_driver")
        raise Invalid(f"{option} = {name}: no such driver; installed are: {', '.join(sorted(installed))}.")
    return installed[name]


@cache  # each look goes through all that is installed
def _installed(interface: str) -> dict[str, metadata.EntryPoint]:
    return {found.name: found for found in metadata.entry_points(group=f"hydria.{interface}.drivers")}


_OPTIONS = {"certificates": "[certificates] cert_manager"}
