"""The root part on a real kernel: interfaces and nftables, asked for through the agent."""

import dataclasses
import json
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from hydria.wire.state import DesiredState, Interface
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, MAC, VIP, VIP6, Lab, server, state

pytestmark = pytest.mark.node

RULES = """table inet hydria
delete table inet hydria
table inet hydria {
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\tip daddr { 10.78.0.10 } tcp dport 80 ip saddr != { 10.78.0.99 } drop
\t}
}
"""


def network(generation: int, *interfaces: Interface, nftables: str = "") -> DesiredState:
    return DesiredState(generation, interfaces=interfaces, nftables=nftables)


def eth1(lab: Lab) -> dict[str, object]:
    return json.loads(lab.in_amphora("ip", "-json", "addr", "show", "eth1"))[0]


def addresses(lab: Lab) -> set[str]:
    return {
        f"{info['local']}/{info['prefixlen']}" for info in eth1(lab)["addr_info"] if info["scope"] != "link"
    }


def routes(lab: Lab) -> set[str]:
    found = json.loads(lab.in_amphora("ip", "-json", "route", "show", "default"))
    found += json.loads(lab.in_amphora("ip", "-json", "-6", "route", "show", "default"))
    return {f"{route['gateway']} {route['dev']}" for route in found}


def test_interface_gets_exactly_what_is_wanted(lab: Lab) -> None:
    lab.in_amphora("ip", "addr", "add", "10.78.0.77/24", "dev", "eth1")
    lab.apply(network(1, dataclasses.replace(ETH1, mtu=1400)))
    wanted = {"10.78.0.2/24", "10.78.0.10/24", "fd78::2/64", "fd78::10/64"}
    assert addresses(lab) == wanted
    assert eth1(lab)["mtu"] == 1400
    assert "UP" in eth1(lab)["flags"]
    assert routes(lab) == {"10.78.0.1 eth1", "fd78::1 eth1"}

    before = eth1(lab)
    lab.apply(network(2, dataclasses.replace(ETH1, mtu=1400, mac=MAC.upper())))
    assert eth1(lab) == before

    fewer = Interface(MAC, 1500, addresses=("10.78.0.3/24",), vips=("10.78.0.10/24",))
    lab.apply(network(3, fewer))
    assert addresses(lab) == {"10.78.0.3/24", "10.78.0.10/24"}
    assert routes(lab) == set()
    assert eth1(lab)["mtu"] == 1500

    lab.apply(network(4, ETH1))
    assert addresses(lab) == wanted
    lab.apply(network(5))
    assert addresses(lab) == set()
    assert "10.77.0.2/24" in lab.in_amphora("ip", "addr", "show", "eth0")


def test_addresses_serve_at_once_and_vips_are_no_source(lab: Lab) -> None:
    lab.apply(network(1, ETH1))
    infos = {info["local"]: info for info in eth1(lab)["addr_info"]}
    assert not any(info.get("tentative") for info in infos.values())
    assert infos[VIP6].get("deprecated")
    assert not infos["fd78::2"].get("deprecated")
    assert "src 10.78.0.2 " in lab.in_amphora("ip", "route", "get", "192.0.2.1")
    assert "src fd78::2 " in lab.in_amphora("ip", "route", "get", "2001:db8::1")


def test_addresses_are_announced(lab: Lab) -> None:
    def listen() -> socket.socket:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        packets.bind(("out1", 3))
        packets.settimeout(5)
        return packets

    with lab.outside.run(listen) as packets:
        lab.apply(network(1, ETH1))
        seen: set[str] = set()
        while seen != {VIP, VIP6, "10.78.0.2", "fd78::2"}:
            frame = packets.recv(2000)
            kind = struct.unpack("!H", frame[12:14])[0]
            if kind == 0x0806 and frame[28:32] == frame[38:42]:
                assert frame[22:28] == frame[6:12] == bytes.fromhex(MAC.replace(":", ""))
                seen.add(socket.inet_ntoa(frame[28:32]))
            elif kind == 0x86DD and frame[20] == 58 and frame[54] == 136:
                seen.add(socket.inet_ntop(socket.AF_INET6, frame[62:78]))


def test_unknown_interface_is_refused(lab: Lab) -> None:
    status, applied = lab.put(network(1, Interface("02:00:00:00:00:99", 1500, ("10.0.0.1/24",))))
    assert (status, applied.generation) == (422, 0)
    assert "02:00:00:00:00:99" in applied.fault


@pytest.mark.parametrize(
    "interface",
    [
        Interface("eth1", 1500, ()),
        Interface(MAC, 10, ()),
        Interface(MAC, 1500, ("10.0.0.1/24 dev eth0",)),
        Interface(MAC, 1500, ("fe80::1%eth0/64",)),
        Interface(MAC, 1500, ("10.0.0.1/24",), gateway4="fd78::1"),
        Interface(MAC, 1500, ("10.0.0.1/24",), gateway4="10.0.0.2\nlink del eth0"),
    ],
)
def test_root_part_believes_nothing(lab: Lab, interface: Interface) -> None:
    status, applied = lab.put(network(1, interface))
    assert (status, applied.generation) == (422, 0)
    assert addresses(lab) == set()


def test_impossible_route_is_refused_and_all_is_as_before(lab: Lab) -> None:
    lab.apply(network(1, ETH1))
    before = addresses(lab), routes(lab)
    status, applied = lab.put(network(2, dataclasses.replace(ETH1, vips=(), gateway4="203.0.113.1")))
    assert (status, applied.generation) == (422, 1)
    assert "ip" in applied.fault
    assert (addresses(lab), routes(lab)) == before


def test_ruleset_is_replaced_and_removed(lab: Lab) -> None:
    lab.member(8001)
    lab.in_amphora("nft", "add", "table", "inet", "other")
    lab.apply(state(1, server(8001), nftables=RULES))
    with pytest.raises(OSError):
        lab.get()
    lab.apply(state(2, server(8001), nftables=RULES.replace("10.78.0.99", "10.78.0.1")))
    assert lab.get() == "8001"
    listed = lab.in_amphora("nft", "list", "ruleset")
    assert listed.count("drop") == 1
    lab.apply(state(3, server(8001)))
    assert lab.get() == "8001"
    assert lab.in_amphora("nft", "list", "ruleset").split() == ["table", "inet", "other", "{", "}"]


@pytest.mark.parametrize(
    ("ruleset", "reason"),
    [
        ("table inet hydria { nonsense }", "nft: "),
        ("table inet other { }", "only"),
        ("flush ruleset", "only"),
        ('table inet hydria { include "/etc/shadow" }', "include"),
    ],
)
def test_refused_ruleset_changes_nothing(lab: Lab, ruleset: str, reason: str) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001), nftables=RULES.replace("10.78.0.99", "10.78.0.1")))
    before = lab.in_amphora("nft", "list", "ruleset")
    pids = lab.haproxy_pids()
    changed = dataclasses.replace(ETH1, vips=(ETH1.vips[0], "10.78.0.11/24"))
    status, applied = lab.put(state(2, server(8001), timeout="9s", interfaces=(changed,), nftables=ruleset))
    assert (status, applied.generation) == (422, 1)
    assert reason in applied.fault
    assert lab.in_amphora("nft", "list", "ruleset") == before
    assert "10.78.0.11/24" not in addresses(lab)
    assert lab.haproxy_pids() == pids
    assert lab.get() == "8001"


def test_nothing_gets_from_one_network_to_the_other(tmp_path: Path) -> None:
    """Whatever the host does: a new namespace has its settings, and the embedded host forwards."""
    with agent_lab.running(tmp_path) as lab:
        lab.apply(network(1, ETH1))
        settings = {
            "ipv4/ip_forward": "0",
            "ipv4/conf/eth0/forwarding": "0",
            "ipv4/conf/eth1/forwarding": "0",
            "ipv6/conf/all/forwarding": "0",
            "ipv6/conf/eth1/forwarding": "0",
            "ipv6/conf/eth1/accept_ra": "0",
            "ipv4/conf/all/arp_ignore": "1",
            **{
                f"{family}/conf/{name}/{setting}": "0"
                for family, setting in (
                    ("ipv4", "accept_redirects"),
                    ("ipv4", "send_redirects"),
                    ("ipv4", "accept_source_route"),
                    ("ipv6", "accept_redirects"),
                )
                for name in ("all", "eth0", "eth1")
            },
        }
        found = {name: lab.in_amphora("cat", f"/proc/sys/net/{name}").strip() for name in settings}
        assert found == settings


def test_the_vip_network_does_not_reach_the_agent(lab: Lab) -> None:
    """The kernel takes a packet for the agent's address also on the VIP network's interface."""
    lab.apply(network(1, ETH1))
    agent = (agent_lab.LB_NETWORK[1], 9443)

    def reached() -> bool:
        with socket.socket() as client:
            client.settimeout(2)
            try:
                client.connect(agent)
            except ConnectionRefusedError:
                return False
            return True

    assert lab.outside.run(reached)
    route = ["ip", "-n", lab.namespace.removesuffix("-a") + "-o", "route"]
    subprocess.run([*route, "add", f"{agent[0]}/32", "via", "10.78.0.2", "dev", "out1"], check=True)
    assert not lab.outside.run(reached)
    subprocess.run([*route, "del", f"{agent[0]}/32"], check=True)
    assert lab.outside.run(reached)
    # As HAProxy would, for a member of that address: closed at once, before anything is said.
    probe = f"import socket; print(socket.create_connection({agent!r}, timeout=2).recv(9))"
    assert lab.in_amphora("python3", "-c", probe).strip() == "b''"


def test_the_way_to_the_controllers_is_not_the_agents_to_change(lab: Lab) -> None:
    eth0 = json.loads(lab.in_amphora("ip", "-json", "addr", "show", "eth0"))[0]
    for addresses_ in (("10.77.0.1/24",), ()):
        status, applied = lab.put(network(1, Interface(eth0["address"], 1400, addresses_)))
        assert (status, applied.generation) == (422, 0)
        assert "the way to the controllers" in applied.fault
    assert json.loads(lab.in_amphora("ip", "-json", "addr", "show", "eth0"))[0] == eth0
