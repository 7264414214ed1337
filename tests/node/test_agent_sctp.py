"""SCTP through an amphora, spoken by programs of their own, for kernels without it."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator

import pytest

from hydria.wire.state import DesiredState, Service, Target
from tests.node.agent_lab import ETH1, VIP, Lab, eventually
from tests.node.datagram_lab import LISTENER, POOL, SCTP, SctpClient, sctp_echo

pytestmark = pytest.mark.node


@pytest.fixture
def far(lab: Lab) -> Iterator[str]:
    """A member's namespace, a hop away, with one address: SCTP may answer from any that it has."""
    name = lab.namespace.removesuffix("-a") + "-f"
    outside = lab.namespace.removesuffix("-a") + "-o"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, timeout=10)

    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "far0", "netns", outside)
        run("ip", "-n", name, "addr", "add", "10.79.0.2/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", outside, "addr", "add", "10.79.0.1/24", "dev", "far0")
        run("ip", "-n", outside, "link", "set", "far0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", "10.79.0.1")
        run("ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield name
    finally:
        run("ip", "netns", "del", name)


def test_sctp(lab: Lab, far: str) -> None:
    outside = lab.namespace.removesuffix("-a") + "-o"
    target = Target("m1", "10.79.0.2", 7)
    service = Service(LISTENER, POOL, "sctp", (VIP,), 7777, (target,), limit=5, sticky=60)
    lab.apply(DesiredState(1, interfaces=(ETH1,), services=(service,)))
    with subprocess.Popen(
        ["ip", "netns", "exec", far, SCTP / "echo_server"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            assert eventually(lambda: "hello" in sctp_echo(outside, "hello"), 30)
            with SctpClient(outside) as client:
                assert client.ask("before", 10)
                narrowed = dataclasses.replace(service, allowed=("192.0.2.0/24",))
                lab.apply(DesiredState(2, interfaces=(ETH1,), services=(narrowed,)))
                assert not client.ask("after")
                assert "sctp" not in lab.in_amphora("cat", "/proc/net/nf_conntrack")
            lab.apply(DesiredState(3, interfaces=(ETH1,), services=(service,)))
            assert eventually(lambda: "again" in sctp_echo(outside, "again"), 30)
        finally:
            server.kill()
