"""Members of UDP and SCTP pools that see their clients: the amphora routes, and does not hide who asks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hydria.wire.state import DesiredState, Service, Target
from tests.node.agent_lab import ETH1, VIP, VIP6, Lab, Outside, eventually
from tests.node.datagram_lab import LISTENER, OUTSIDE, OUTSIDE6, POOL, SCTP, Client, Echo, sctp_echo, udp

pytestmark = pytest.mark.node

APART, APART6 = "10.78.0.7", "fd78::7"
CLIENT, CLIENT6 = "192.0.2.9", "2001:db8::9"


@pytest.fixture
def apart(lab: Lab) -> Iterator[str]:
    """A namespace for members on the VIP network, whose way to clients is the VIP; clients are farther away."""
    outside = lab.namespace.removesuffix("-a") + "-o"
    name = lab.namespace.removesuffix("-a") + "-m"

    def ip(line: str) -> None:
        subprocess.run(["ip", *line.split()], check=True, timeout=10)

    ip(f"netns add {name}")
    try:
        ip(f"-n {outside} link add apart link out1 type macvlan mode bridge")
        ip(f"-n {outside} link set apart netns {name} name eth0")
        ip(f"-n {name} link set eth0 up")
        for address, length, client, vip in ((APART, 24, CLIENT, VIP), (APART6, 64, CLIENT6, VIP6)):
            dad = "nodad" if ":" in address else ""
            ip(f"-n {name} addr add {address}/{length} dev eth0 {dad}")
            family = "-6" if ":" in address else "-4"
            ip(f"{family} -n {name} route add default via {vip} table 100")
            ip(f"{family} -n {name} rule add ipproto udp sport 1024-65534 lookup 100")
            ip(f"-n {outside} addr add {client} dev lo {dad}")
        yield name
    finally:
        ip(f"netns del {name}")


@pytest.mark.parametrize(
    ("vip", "address", "source"),
    [(VIP, APART, CLIENT), (VIP6, APART6, CLIENT6), (VIP, APART, OUTSIDE), (VIP6, APART6, OUTSIDE6)],
    ids=["ipv4", "ipv6", "ipv4 of the same subnet", "ipv6 of the same subnet"],
)
def test_members_that_see_their_clients(lab: Lab, apart: str, vip: str, address: str, source: str) -> None:
    there = Outside(apart)
    with ExitStack() as stack:
        stack.callback(there.close)
        one, two = (Echo(there, name, address) for name in ("m1", "m2"))
        stack.callback(two.close)
        stack.callback(one.close)

        def seen(client: Client) -> str:
            client.socket.send(b"?")
            return client.socket.recv(100).decode()

        lab.apply(udp(1, one.target, preserve=True))
        client = stack.enter_context(Client(lab, vip, source=source))
        client.socket.settimeout(10)
        assert seen(client) == f"m1 {source}"
        # It goes on so: nobody tells the member of a shorter way, on which the answer would not be the VIP's.
        for _ in range(20):
            assert seen(client) == f"m1 {source}"
        answer = ["route", "get", source, "ipproto", "udp", "sport", str(one.target.port)]
        way = subprocess.check_output(["ip", "-n", apart, *answer], text=True)
        assert f"via {vip}" in way
        assert "redirected" not in way
        # Answers under way arrive here, too.
        one.asked.clear()
        one.may_answer.clear()
        client.socket.send(b"?")
        assert one.asked.wait(10)
        lab.apply(udp(2, two.target, preserve=True))
        one.may_answer.set()
        assert client.socket.recv(100).decode() == f"m1 {source}"
        assert seen(client) == f"m2 {source}"
        # Who is not allowed any more is seen no more.
        lab.apply(udp(3, two.target, preserve=True, allowed=("198.51.100.0/24",)))
        two.asked.clear()
        client.socket.settimeout(0.4)
        assert client.ask() == ""
        client.socket.settimeout(10)
        assert not two.asked.is_set()
        lab.apply(udp(4, two.target, preserve=True))
        assert seen(client) == f"m2 {source}"
        # A change leaves flows as they are; new ones come from the amphora.
        lab.apply(udp(5, two.target))
        assert seen(client) == f"m2 {source}"
        with Client(lab, vip, source=source) as other:
            other.socket.settimeout(10)
            own = [each.partition("/")[0] for each in ETH1.addresses]
            assert seen(other).removeprefix("m2 ") in own


def test_sctp_members_that_see_their_clients(lab: Lab, apart: str) -> None:
    outside = lab.namespace.removesuffix("-a") + "-o"
    # What speaks SCTP here writes whole packets, which no rule tells apart: all goes by the VIP.
    ways = f"route add {VIP} dev eth0", f"route add default via {VIP}", "route del 10.78.0.0/24"
    for line in (*ways, "-6 addr flush dev eth0"):
        subprocess.run(["ip", "-n", apart, *line.split()], check=True, timeout=10)
    services = [
        Service(LISTENER, POOL, "sctp", (VIP,), 7777, (Target("m1", APART, 7),), preserve=preserve)
        for preserve in (True, False)
    ]
    lab.apply(DesiredState(1, interfaces=(ETH1,), services=services[:1]))
    with subprocess.Popen(
        ["ip", "netns", "exec", apart, "stdbuf", "-oL", SCTP / "echo_server"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        try:
            assert eventually(lambda: "hello" in sctp_echo(outside, "hello"), 30)
            lab.apply(DesiredState(2, interfaces=(ETH1,), services=services[1:]))
            assert eventually(lambda: "later" in sctp_echo(outside, "later"), 30)
        finally:
            server.kill()
        assert server.stdout
        seen = re.findall(r"Msg .* received from ::ffff:(\S+):\d+ on", server.stdout.read())
    own = {each.partition("/")[0] for each in ETH1.addresses}
    assert seen[0] == OUTSIDE
    assert seen[-1] in own
