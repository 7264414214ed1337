"""Hydria with networks and secrets of its own, in this process and without anything below it, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waitress import create_server

from hydria import settings
from hydria.api import program
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.drivers.network.interface import FixedAddress, Network
from hydria.messages import LocalWakeups
from hydria.model.secrets import SecretKind
from hydria.store import rows
from hydria.testing import trees
from hydria.testing.network import FakeNetwork
from tests import certificates
from tests.databases import new_store

CA = certificates.make("Test CA", ca=True)
WEB = certificates.make("www.example.org", CA)


@dataclass
class StandingIn:
    """Two networks with three subnets, a VIP, two certificates and a CA of a project."""

    url: str
    networks: tuple[Network, ...]
    vip: str

    @property
    def overrides(self) -> dict[str, str]:
        """Where clients find the services without a catalog."""
        return {
            "network_endpoint_override": f"{self.url}/network",
            "key_manager_endpoint_override": f"{self.url}/key-manager",
        }


@contextmanager
def standing_in(directory: Path, project_id: str, api: str = "", more: str = "") -> Iterator[StandingIn]:
    """A running one; ``api`` are options of ``[api_settings]``, ``more`` other sections."""
    configuration = directory / "hydria.conf"
    configuration.write_text(f"[DEFAULT]\nstate_dir = {directory}\n[api_settings]\n{api}\n{more}")
    loaded = settings.load([str(configuration)])
    network, store = FakeNetwork(), new_store(directory)
    first = network.add_network("10.0.0.0/24", "2001:db8::/64")
    networks = (first, network.add_network("10.0.1.0/24"))
    network.default_vip_subnet_id = first.subnet_ids[0]
    for number, owner in enumerate((project_id, "another")):
        address = FixedAddress(first.subnet_ids[0], f"10.0.0.{number + 5}")
        port = network.create_port(first.id, name=f"vip-{number}", owner=f"lb-{number}", addresses=[address])
        balancer = trees.load_balancer(number + 1, project_id=owner, vip_port_id=port.id)
        store.transact(lambda tx, balancer=balancer: rows.insert(tx, [balancer]))
        kept = LocalCertificateManager(loaded)
        for name in ("api", "web"):
            kept.add(Secret(owner, name, SecretKind.CERTIFICATE, WEB.pem, WEB.key_pem))
        kept.add(Secret(owner, "ca", SecretKind.CA, CA.pem))
    services = program.services(loaded, store, network, LocalWakeups())
    server = create_server(program.application(services), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield StandingIn(f"http://127.0.0.1:{server.effective_port}", networks, "10.0.0.5")
    finally:
        server.close()
        thread.join(5)
        store.close()
