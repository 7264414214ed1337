"""The bridge driver on a real host: what it makes, what it refuses, and that it leaves nothing.

Most of this happens on a host of its own (``driver_lab.run_alone``), where the test may play with the
forwarding and the rules of others.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.drivers.network import firewall
from hydria.drivers.network.bridge import BridgeNetworkDriver
from hydria.model.errors import DriverError, Invalid
from hydria.settings import Settings
from tests import driver_lab
from tests.driver_lab import shell

pytestmark = pytest.mark.node

NOBODY = 65534


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A state directory that belongs to an unprivileged user, below directories that it can enter."""
    path = Path(tempfile.mkdtemp(prefix="hydria-test-"))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


def test_cleanup_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    driver_lab.run_alone(_cleanup_leaves_the_host_as_it_was, str(tmp_path))


def _cleanup_leaves_the_host_as_it_was(state_dir: str) -> None:
    _make_host()
    before = _host_state()
    driver = BridgeNetworkDriver(driver_lab.settings(Path(state_dir)))
    driver.prepare()
    made = _host_state()
    assert made != before
    driver.prepare()
    assert _host_state() == made, "preparing again changes nothing"
    switches = f"net.ipv4.conf.{driver._vip.bridge}.forwarding net.ipv6.conf.all.forwarding"
    assert shell(f"sysctl -n net.ipv4.ip_forward {switches}").split() == ["0", "1", "1"]
    driver.cleanup()
    assert _host_state() == before
    assert not (Path(state_dir) / "network").exists()
    driver.cleanup()


def test_a_program_killed_while_it_prepares_leaves_nothing(tmp_path: Path) -> None:
    driver_lab.run_alone(_killed_while_it_prepares, str(tmp_path))


def _killed_while_it_prepares(state_dir: str) -> None:
    _make_host()
    before = _host_state()
    settings = driver_lab.settings(Path(state_dir))
    chance = random.Random(3)
    for _ in range(10):
        for _ in range(2):
            child = os.fork()
            if child == 0:
                BridgeNetworkDriver(settings).prepare()
                os._exit(0)
            time.sleep(chance.uniform(0, 0.06))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        BridgeNetworkDriver(settings).cleanup()
        assert _host_state() == before


def test_the_last_of_two_deployments_turns_forwarding_off(tmp_path: Path) -> None:
    driver_lab.run_alone(_two_deployments, str(tmp_path))


def _two_deployments(state_dir: str) -> None:
    _make_host()
    before = _host_state()
    one, other = (
        BridgeNetworkDriver(driver_lab.settings(Path(state_dir) / name)) for name in ("one", "other")
    )
    one.prepare()
    other.prepare()
    one.cleanup()
    for name in (other._vip.bridge, "out"):
        assert shell(f"sysctl -n net.ipv4.conf.{name}.forwarding").strip() == "1", "the other one needs it"
    other.cleanup()
    assert _host_state() == before


def test_settings_of_another_boot_are_not_put_back(tmp_path: Path) -> None:
    driver_lab.run_alone(_settings_of_another_boot, str(tmp_path))


def _settings_of_another_boot(state_dir: str) -> None:
    _make_host()
    shell("sysctl -qw net.ipv4.ip_forward=1")
    kept = Path(state_dir) / "network" / "host.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"epoch": "another boot", "values": {"ipv4/ip_forward": "0"}}))
    driver = BridgeNetworkDriver(driver_lab.settings(Path(state_dir)))
    driver.prepare()
    driver.cleanup()
    assert shell("sysctl -n net.ipv4.ip_forward").strip() == "1"


def test_cidrs_of_the_host_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    driver_lab.run_alone(_cidrs_of_the_host, str(tmp_path))


def _cidrs_of_the_host(state_dir: str) -> None:
    _make_host()
    before = _host_state()
    for option, cidr, words in (
        (
            "lb_network_cidr",
            "192.168.77.0/25",
            "the address 192.168.77.2/24 of this host on the interface out",
        ),
        ("vip_cidr_v4", "172.20.0.0/16", "the route to 172.20.5.0/24 of this host on the interface out"),
        ("vip_cidr_v6", "fd77::/48", "the address fd77::2/64 of this host on the interface out"),
    ):
        driver = BridgeNetworkDriver(driver_lab.settings(Path(state_dir), bridge={option: cidr}))
        with pytest.raises(Invalid) as refused:
            driver.prepare()
        assert f"[bridge] {option} = {cidr} overlaps with {words}" in refused.value.message
        assert _host_state() == before


def test_bridges_of_another_configuration_are_not_taken_over(tmp_path: Path) -> None:
    driver_lab.run_alone(_another_configuration, str(tmp_path))


def _another_configuration(state_dir: str) -> None:
    _make_host()
    settings = driver_lab.settings(Path(state_dir))
    BridgeNetworkDriver(settings).prepare()
    changed = dataclasses.replace(settings.bridge, vip_cidr_v4="10.99.0.0/24")
    with pytest.raises(Invalid, match="set it back, or run hydria cleanup first"):
        BridgeNetworkDriver(dataclasses.replace(settings, bridge=changed)).prepare()
    BridgeNetworkDriver(settings).cleanup()


def test_what_drops_our_traffic_is_named(tmp_path: Path) -> None:
    driver_lab.run_alone(_what_drops_our_traffic, str(tmp_path))


def _what_drops_our_traffic(state_dir: str) -> None:
    _make_host()
    driver = BridgeNetworkDriver(driver_lab.settings(Path(state_dir)))
    driver.prepare()
    assert list(firewall.obstacles(driver._vip)) == []
    subprocess.run(
        ["nft", "-f", "-"],
        input="table ip filter {\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n }\n}\n",
        text=True,
        check=True,
    )
    (sentence,) = firewall.obstacles(driver._vip)
    assert "chain FORWARD of table ip filter" in sentence
    assert f"iptables -I FORWARD -i {driver._vip.bridge} -j ACCEPT" in sentence
    driver.cleanup()


def test_an_unprivileged_program_makes_ports_on_networks_that_are_there(state_dir: Path) -> None:
    settings = driver_lab.settings(state_dir)
    cidrs = dataclasses.asdict(settings.bridge)
    driver_lab.run_alone(_unprivileged_without_networks, str(state_dir), cidrs, user=NOBODY)
    driver = BridgeNetworkDriver(settings)
    try:
        driver.prepare()
        driver_lab.run_alone(_unprivileged_with_networks, str(state_dir), cidrs, user=NOBODY)
        assert [port.name for port in driver.ports()] == ["one"]
    finally:
        driver.cleanup()


def _settings(state_dir: str, cidrs: dict[str, object]) -> Settings:
    return driver_lab.settings(Path(state_dir), bridge=cidrs)


def _unprivileged_without_networks(state_dir: str, cidrs: dict[str, object]) -> None:
    with pytest.raises(DriverError, match=r"Not made yet: the bridge hy......lb.*needs root"):
        BridgeNetworkDriver(_settings(state_dir, cidrs)).prepare()


def _unprivileged_with_networks(state_dir: str, cidrs: dict[str, object]) -> None:
    driver = BridgeNetworkDriver(_settings(state_dir, cidrs))
    driver.prepare()
    gone = driver.create_port(driver.lb_network_id, name="gone", owner="test")
    driver.create_port(driver.lb_network_id, name="one", owner="test")
    driver.delete_port(gone.id)
    with pytest.raises(DriverError, match="needs root"):
        driver.cleanup()


def test_amphorae_reach_what_is_beyond_the_host_but_not_through_the_lb_network(tmp_path: Path) -> None:
    driver_lab.run_alone(_beyond_the_host, str(tmp_path))


def _beyond_the_host(state_dir: str) -> None:
    """out (192.168.77.1, knows no way back) - host - the VIP and LB networks."""
    _make_host()
    driver = BridgeNetworkDriver(driver_lab.settings(Path(state_dir)))
    driver.prepare()
    try:
        vip, lb = driver._vip, driver._lb
        for name, segment in (("onvip", vip), ("onlb", lb)):
            address, gateway = segment.ranges[0].network[9], segment.ranges[0].host
            length = segment.ranges[0].network.prefixlen
            shell(
                f"ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name};"
                f" ip link set {name} master {segment.bridge} up; ip -n {name} link set eth0 up;"
                f" ip -n {name} addr add {address}/{length} dev eth0;"
                f" ip -n {name} route add default via {gateway.ip}"
            )
        _listen("onlb")
        v6, host6 = vip.ranges[1].network, vip.ranges[1].host
        shell(
            f"ip -n onvip addr add {v6[9]}/{v6.prefixlen} dev eth0 nodad;"
            f" ip -n onvip -6 route add default via {host6.ip}"
        )
        assert _answers("onvip", "192.168.77.1")
        assert _answers("onvip", "fd77::1")
        controllers = str(lb.ranges[0].host.ip)
        assert _hears("onlb", controllers, driver._health_manager.bind_port)
        assert not _hears("onlb", controllers, 7), "what else the host has is no business of amphorae"
        assert not _answers("onlb", controllers)
        assert not _answers("onlb", "192.168.77.1")
        assert not _answers("onlb", str(vip.ranges[0].network[9]))
        # The host would take a packet for any of its addresses on any interface.
        for namespace in ("onvip", "beyond"):
            if namespace == "beyond":
                shell(f"ip -n beyond route add {lb.ranges[0].network} via 192.168.77.2")
            assert not _hears(namespace, controllers, driver._health_manager.bind_port)
            assert not _answers(namespace, controllers)
            assert not _answers(namespace, str(lb.ranges[0].network[9]))
        assert _answers("onvip", str(vip.ranges[0].host.ip)), "members on the host"
        assert _answers("", str(lb.ranges[0].network[9])), "agents, which controllers connect to"
        assert _answers("", controllers)
    finally:
        driver.cleanup()


def _answers(namespace: str, address: str) -> bool:
    """Whether a TCP connection from a namespace ("": the host) comes about; many listen on port 7 here."""
    probe = f"import socket; socket.create_connection(({address!r}, 7), timeout=1.5)"
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    done = subprocess.run([*inside, "python3", "-c", probe], capture_output=True, check=False)
    return done.returncode == 0


def _hears(namespace: str, address: str, port: int) -> bool:
    """Whether the host gets a datagram that is sent from a namespace."""
    send = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ({address!r}, {port}))"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", port))
        receiver.settimeout(1)
        subprocess.run(["ip", "netns", "exec", namespace, "python3", "-c", send], check=True)
        try:
            return receiver.recv(10) == b"x"
        except TimeoutError:
            return False


def _make_host() -> None:
    """A host with one interface, ``out``, to a neighbor who listens on port 7, as everybody does here."""
    shell(
        "mount -t tmpfs tmpfs /run; mkdir /run/netns;"
        "ip link set lo up; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0;"
        "ip netns add beyond; ip link add out type veth peer name eth0 netns beyond; ip link set out up;"
        "ip addr add 192.168.77.2/24 dev out; ip addr add fd77::2/64 dev out nodad;"
        "ip route add default via 192.168.77.1; ip route add 172.20.5.0/24 via 192.168.77.1;"
        "ip -n beyond link set eth0 up; ip -n beyond addr add 192.168.77.1/24 dev eth0;"
        "ip -n beyond addr add fd77::1/64 dev eth0 nodad"
    )
    for namespace in ("beyond", ""):
        _listen(namespace)


def _listen(namespace: str) -> None:
    listen = (
        "import socket, time; s = socket.create_server(('::', 7), family=socket.AF_INET6,"
        " dualstack_ipv6=True); print(flush=True); time.sleep(600)"
    )
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    # Ends with the test: its parent is the test's own process.
    listener = subprocess.Popen(
        [*inside, "setpriv", "--pdeathsig=KILL", "python3", "-c", listen], stdout=subprocess.PIPE
    )
    assert listener.stdout is not None
    listener.stdout.readline()


def _host_state() -> dict[str, object]:
    """All that the driver may touch, without what changes by itself."""
    links = json.loads(shell("ip -j addr"))
    addresses = {
        link["ifname"]: sorted(
            each["local"] for each in link["addr_info"] if not each["local"].startswith("fe80")
        )
        for link in links
    }
    routes = shell("ip route; ip -6 route | grep -v fe80").splitlines()
    forwarding = shell("sysctl -a 2>/dev/null | grep -E 'forward|accept_r[ae]'").splitlines()
    return {
        "addresses": addresses,
        "routes": sorted(routes),
        "rules": shell("nft list ruleset"),
        "forwarding": forwarding,
    }
