"""What tests of the embedded drivers share: settings of their own, ports, orders, and a host of their own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hydria import settings as options
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.compute.interface import AmphoraSpec, Attachment
from hydria.drivers.compute.netns import NetnsComputeDriver
from hydria.drivers.network.bridge import BridgeNetworkDriver
from hydria.drivers.network.interface import NetworkDriver, Port
from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.settings import Settings
from hydria.wire.boot import CLIENT_CA_PEM, SERVER_PEM, Boot

ROOT = Path(__file__).resolve().parent.parent
_counter = itertools.count()


def settings(state_dir: Path, **changed: dict[str, object]) -> Settings:
    """Settings with networks that no other test has: pids and a counter choose them."""
    slot = os.getpid() % 200 + next(_counter) % 56
    bridge: dict[str, object] = {
        "lb_network_cidr": f"10.219.{slot}.0/25",
        "vip_cidr_v4": f"10.219.{slot}.128/25",
        "vip_cidr_v6": f"fd68:7964:7465:{slot:x}::/64",
        **changed.pop("bridge", {}),
    }
    return options.load(overrides={"DEFAULT": {"state_dir": str(state_dir)}, "bridge": bridge, **changed})


@dataclass
class Host:
    """The embedded drivers on this host, with everything that they make."""

    settings: Settings
    network: BridgeNetworkDriver
    compute: NetnsComputeDriver

    def port(self, name: str, network_id: str = "") -> Port:
        return self.network.create_port(network_id or self.network.lb_network_id, name=name, owner="test")

    @property
    def vip_network_id(self) -> str:
        (network,) = self.network.networks()
        return network.id

    def order(self, authority: LocalCertificateAuthority | None = None) -> AmphoraSpec:
        return order(self.network, self.vip_network_id, authority)


@contextmanager
def host(state_dir: Path, *command: str, **changed: dict[str, object]) -> Iterator[Host]:
    """Networks that are prepared; afterwards everything is taken down. ``command`` in place of the agent."""
    own = settings(state_dir, **changed)
    network, compute = BridgeNetworkDriver(own), NetnsComputeDriver(own, command)
    try:
        network.prepare()
        yield Host(own, network, compute)
    finally:
        compute.cleanup()
        network.cleanup()


def order(
    network: NetworkDriver, vip_network_id: str, authority: LocalCertificateAuthority | None = None
) -> AmphoraSpec:
    """An amphora with a place on both networks."""
    amphora_id = str(uuid.uuid4())
    lb = network.create_port(network.lb_network_id, name=f"lb-{amphora_id}", owner=f"amphora-{amphora_id}")
    vip = network.create_port(vip_network_id, name=f"vip-{amphora_id}", owner=f"amphora-{amphora_id}")
    files = {SERVER_PEM: b"secret"}
    if authority is not None:
        files = {SERVER_PEM: authority.issue(amphora_id).pem, CLIENT_CA_PEM: authority.client_ca_pem}
    return AmphoraSpec(
        name=f"amphora-{amphora_id}",
        amphora_id=amphora_id,
        load_balancer_id=str(uuid.uuid4()),
        lb_network=_attachment(network, lb),
        attachments=(_attachment(network, vip),),
        boot=Boot(amphora_id, lb.addresses[0].address, "00" * 32),
        files=files,
    )


def amphora(amphora_id: str, address: str) -> Amphora:
    return Amphora(
        id=amphora_id,
        load_balancer_id=str(uuid.uuid4()),
        status=AmphoraStatus.BOOTING,
        role=AmphoraRole.STANDALONE,
        lb_network_ip=address,
        created_at=datetime(2026, 1, 1),  # noqa: DTZ001
    )


def run_alone(scenario: Callable[..., None], *arguments: object, user: int = 0, seconds: float = 60) -> None:
    """Run a function of a test module on a host of its own: a new network namespace and its own mounts.

    There it may do to the network what would be rude, or in the way of others, on this machine.
    """
    call = f"from {scenario.__module__} import {scenario.__name__} as f; f(*{arguments!r})"
    command = ["unshare", "--net", "--mount", "--propagation", "private"]
    if user:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    done = subprocess.run(
        [*command, sys.executable, "-c", call],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr


def wait_for(reached: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def shell(command: str) -> str:
    return subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, check=True, timeout=30
    ).stdout


def _attachment(network: NetworkDriver, port: Port) -> Attachment:
    with_length = tuple(
        f"{each.address}/{network.subnet(each.subnet_id).prefix_length}" for each in port.addresses
    )
    return Attachment(port, network.network(port.network_id).mtu, with_length)
