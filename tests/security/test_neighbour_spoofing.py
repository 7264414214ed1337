"""The attacker has an amphora, with all rights in it, and wants to be somebody else on the VIP network."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests import driver_lab
from tests.driver_lab import shell
from tests.security import network_attacks as attacks

pytestmark = pytest.mark.node

_EVERYBODY = b"\xff" * 6
_ARP, _IPV6 = 0x0806, 0x86DD


@pytest.mark.parametrize("call_iptables", [0, 1], ids=["plain", "br_netfilter"])
def test_addresses_of_others_are_of_no_use(tmp_path: Path, call_iptables: int) -> None:
    driver_lab.run_alone(_spoofed, str(tmp_path), call_iptables)


def _spoofed(state_dir: str, call_iptables: int) -> None:
    with attacks.alone(state_dir, call_iptables=call_iptables) as host:
        ann, bob = attacks.amphora(host), attacks.amphora(host)
        for each in (ann, bob):
            for address in (each.vip, each.vip6, each.vip_port(4), each.vip_port(6)):
                assert attacks.connects("", address), "everybody has their own"
                assert attacks.connects(ann.name, address), "load balancers may be each other's members"
        _by_address(bob, ann)
        _by_arp(bob, ann)
        _by_neighbor_advertisement(bob, ann)
        _by_mac(bob, ann)


def _by_address(bob: attacks.Amphora, ann: attacks.Amphora) -> None:
    """As the root part, which can have any address, and as HAProxy, which can bind any of IPv6."""
    shell(f"ip netns exec {bob.name} sysctl -qw net.ipv6.ip_nonlocal_bind=1")
    gateways = {4: bob.host.network._vip.ranges[0].host.ip, 6: bob.host.network._vip.ranges[1].host.ip}
    tried = {
        4: [(bob.vip, True), (ann.vip, False), ("203.0.113.9", False)],
        6: [(bob.vip6, True), (ann.vip6, False), (ann.vip_port(6), False), ("2001:db8::1", False)],
    }
    for version, sources in tried.items():
        for source, passes in sources:
            found = _host_hears(bob, source, str(gateways[version]))
            assert (found == (b"x", source)) is passes, f"{source}: {found}"


def _host_hears(bob: attacks.Amphora, source: str, gateway: str) -> tuple[bytes, str] | None:
    """What the host gets of a datagram that bob sends from that address."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((gateway, 0))
        port = receiver.getsockname()[1]

        def send() -> None:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                if family == socket.AF_INET:
                    sender.setsockopt(socket.IPPROTO_IP, attacks.IP_TRANSPARENT, 1)
                sender.bind((source, 0))
                sender.sendto(b"x", (gateway, port))

        return attacks.heard(receiver, lambda: bob.run(send))


def _by_arp(bob: attacks.Amphora, ann: attacks.Amphora) -> None:
    bridge = bob.host.network._vip.bridge
    before = attacks.mac_of(ann.name, "eth1")
    assert before in shell(f"ip neigh show {ann.vip} dev {bridge}")
    mac = bytes.fromhex(attacks.mac_of(bob.name, "eth1").replace(":", ""))
    address = socket.inet_aton(ann.vip)
    for operation in (1, 2):
        packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + address + mac + address
        _send(bob, _EVERYBODY + mac + _ARP.to_bytes(2) + packet)
        assert before in shell(f"ip neigh show {ann.vip} dev {bridge}"), "ann's VIP stays with ann"
    assert attacks.connects("", ann.vip)


def _by_neighbor_advertisement(bob: attacks.Amphora, ann: attacks.Amphora) -> None:
    """Bob's source address is his own; what he says about ann's address is not."""
    bridge = bob.host.network._vip.bridge
    before = attacks.mac_of(ann.name, "eth1")
    assert before in shell(f"ip -6 neigh show {ann.vip6} dev {bridge}")
    mac = bytes.fromhex(attacks.mac_of(bob.name, "eth1").replace(":", ""))
    gateway = str(bob.host.network._vip.ranges[1].host.ip)
    option = struct.pack("!BB", 2, 1) + mac
    advertisement = struct.pack("!BBHI", 136, 0, 0, 0x2000_0000) + socket.inet_pton(socket.AF_INET6, ann.vip6)
    packet = _icmpv6(bob.vip_port(6), gateway, advertisement + option)
    host = bytes.fromhex(attacks.mac_of("", bridge).replace(":", ""))
    _send(bob, host + mac + _IPV6.to_bytes(2) + packet)
    assert before in shell(f"ip -6 neigh show {ann.vip6} dev {bridge}"), "ann's VIP stays with ann"


def _by_mac(bob: attacks.Amphora, ann: attacks.Amphora) -> None:
    """A bridge learns from any frame where a MAC address is."""
    mac = bytes.fromhex(attacks.mac_of(ann.name, "eth1").replace(":", ""))
    _send(bob, _EVERYBODY + mac + (0x88B5).to_bytes(2) + bytes(46))
    _send(bob, _EVERYBODY + mac + _ARP.to_bytes(2) + bytes(46))
    known = shell(f"bridge fdb show br {bob.host.network._vip.bridge}").splitlines()
    where = [line for line in known if line.startswith(attacks.mac_of(ann.name, "eth1"))]
    assert where
    assert all(f"dev {ann.link(1)} " in line for line in where), where


def test_one_that_is_fenced_has_the_vip_no_more_whatever_it_does(tmp_path: Path) -> None:
    driver_lab.run_alone(_fenced, str(tmp_path))


def _fenced(state_dir: str) -> None:
    """It lives on and would answer: as the dead amphora of a host that only the controllers cannot reach."""
    with attacks.alone(state_dir) as host:
        old, new = attacks.amphora(host), attacks.amphora(host)
        for version, vip in ((4, old.vip), (6, old.vip6)):
            gateway = str(host.network._vip.ranges[0 if version == 4 else 1].host.ip)
            assert attacks.connects("", vip)
            host.network.unplug_vip(old.spec.attachments[0].port.id, [vip])
            shell(f"ip neigh flush dev {host.network._vip.bridge}")
            assert not attacks.connects("", vip)
            assert _host_hears(old, vip, gateway) is None
            assert attacks.connects("", old.vip_port(version)), "its own address stays"
            host.network.plug_vip(new.spec.attachments[0].port.id, [vip])
            length = "32" if version == 4 else "128 nodad"  # it would be tentative for a while
            where, _, flags = length.partition(" ")
            shell(f"ip -n {new.name} addr add {vip}/{where} dev eth1 {flags}")
            assert attacks.connects("", vip)
        before = list(host.network.weaknesses())
        host.network._make_rules()  # as the next start of a worker
        assert not before
        assert attacks.connects("", old.vip), "the new one"
        assert _host_hears(old, old.vip, str(host.network._vip.ranges[0].host.ip)) is None


def test_router_advertisements_of_an_amphora_reach_nobody(tmp_path: Path) -> None:
    driver_lab.run_alone(_router_advertisement, str(tmp_path))


def _router_advertisement(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        ann, bob = attacks.amphora(host), attacks.amphora(host)
        shell(
            f"ip netns exec {ann.name} sysctl -qw net.ipv6.conf.eth1.accept_ra=2 net.ipv6.conf.eth1.autoconf=1"
        )
        mac = bytes.fromhex(attacks.mac_of(bob.name, "eth1").replace(":", ""))
        linklocal = (
            shell(f"ip -n {bob.name} -6 -brief addr show dev eth1 scope link").split()[-1].partition("/")[0]
        )
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + socket.inet_pton(
            socket.AF_INET6, "2001:db8:bad::"
        )
        body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
        all_nodes = bytes.fromhex("333300000001")
        _send(bob, all_nodes + mac + _IPV6.to_bytes(2) + _icmpv6(linklocal, "ff02::1", body))
        # Whatever bob sends afterwards has come when this has.
        assert attacks.connects(bob.name, ann.vip_port(6))
        assert "2001:db8:bad" not in shell(f"ip -n {ann.name} -6 addr; ip -n {ann.name} -6 route")


def test_datagrams_with_their_clients_addresses_pass_and_no_others(tmp_path: Path) -> None:
    driver_lab.run_alone(_preserved_sources, str(tmp_path))


def _preserved_sources(state_dir: str) -> None:
    """What ``preserve_source`` is: the amphora forwards, with the address of who has asked."""
    with attacks.alone(state_dir) as host:
        ann, bob = attacks.amphora(host), attacks.amphora(host)

        def receiver() -> socket.socket:
            made = socket.socket(type=socket.SOCK_DGRAM)
            made.bind(("", 4000))
            return made

        def send(source: str, target: str) -> None:
            with socket.socket(type=socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.IPPROTO_IP, attacks.IP_TRANSPARENT, 1)
                sender.bind((source, 4001))
                sender.sendto(b"x", (target, 4000))

        client, stranger = ann.vip_port(4), "203.0.113.9"
        with receiver() as member:
            gateway = str(host.network._vip.ranges[0].host.ip)
            assert attacks.heard(member, lambda: bob.run(lambda: send(client, gateway))) is None
            with bob.run(receiver) as listener:
                assert attacks.heard(listener, lambda: ann.run(lambda: send(client, bob.vip)))
            assert attacks.heard(member, lambda: bob.run(lambda: send(client, gateway))) == (b"x", client)
            assert attacks.heard(member, lambda: bob.run(lambda: send(stranger, gateway))) is None


def test_guards_outlive_a_flush_of_all_rules_and_go_with_their_amphora(tmp_path: Path) -> None:
    driver_lab.run_alone(_flushed, str(tmp_path))


def _flushed(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        bob = attacks.amphora(host)
        table = f"hydria_{host.network._instance}"
        assert bob.link(1) in shell(f"nft list set bridge {table} ports")
        shell("nft flush ruleset")  # as systemctl restart nftables does
        told = " ".join(host.network.weaknesses())
        assert f"tables {table} of the packet filter are not as they were made" in told
        assert f"The port {bob.link(1)} may send from any address" in told
        host.network._look_at = 0.0  # the next look is due
        host.network.keep()
        assert list(host.network.weaknesses()) == []
        assert bob.link(1) in shell(f"nft list set bridge {table} ports")
        host.compute.delete(bob.name)
        assert bob.link(1) not in shell(f"nft list table bridge {table}")
        assert list((Path(state_dir) / "network" / "guards").glob("*.json")) == []


def _send(amphora: attacks.Amphora, frame: bytes) -> None:
    """A frame out of its interface on the VIP network, as with CAP_NET_RAW."""

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth1", 0))
            raw.send(frame)

    amphora.run(work)


def _icmpv6(source: str, target: str, body: bytes) -> bytes:
    """An IPv6 packet with ICMPv6 in it, its checksum made."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    pseudo = addresses + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + addresses + body
