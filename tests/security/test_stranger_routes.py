"""The attacker is on one of the host's networks, and wants to get into another one through the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria.drivers.network import firewall
from tests import driver_lab
from tests.driver_lab import shell
from tests.security import network_attacks as attacks

pytestmark = pytest.mark.node

OFFICE, MANAGEMENT = ("192.168.77.1", "fd77::1"), ("198.51.100.1", "fd78::1")
_DOCKER = "table ip filter {\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n }\n}\n"


def test_the_host_is_no_router_between_its_networks(tmp_path: Path) -> None:
    driver_lab.run_alone(_no_router, str(tmp_path))


def _no_router(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        attacks.neighbor("management", "mgmt", "198.51.100.", "fd78::")  # an interface that comes later
        driver = host.network
        driver.keep()
        ann = attacks.amphora(host)
        for address in (*OFFICE, *MANAGEMENT):
            assert attacks.connects(ann.name, address), f"members at {address}"
        for address in (ann.vip, ann.vip6):
            assert attacks.connects("beyond", address), f"clients of {address} beyond the host"
        for address in MANAGEMENT:
            assert not attacks.connects("beyond", address)
        for address in OFFICE:
            assert not attacks.connects("management", address)
        switches = "net.ipv4.ip_forward net.ipv4.conf.default.forwarding"
        assert (
            shell(f"sysctl -n {switches} net.ipv4.conf.{driver._lb.bridge}.forwarding").split() == ["0"] * 3
        )
        driver.cleanup()
        for interface in ("out", "mgmt"):
            assert shell(f"sysctl -n net.ipv4.conf.{interface}.forwarding").strip() == "0"
        assert shell("sysctl -n net.ipv6.conf.all.forwarding").strip() == "0"


def test_a_host_that_was_a_router_stays_one_and_others_may_make_it_one(tmp_path: Path) -> None:
    driver_lab.run_alone(_router, str(tmp_path))


def _router(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        attacks.neighbor("management", "mgmt", "198.51.100.", "fd78::")
        driver = host.network
        driver.keep()
        assert not attacks.connects("beyond", MANAGEMENT[0])
        shell("sysctl -qw net.ipv4.ip_forward=1")  # as Docker does when it starts
        driver.keep()
        assert attacks.connects("beyond", MANAGEMENT[0]), "that is somebody else's wish"
        driver.cleanup()
        assert shell("sysctl -n net.ipv4.ip_forward net.ipv4.conf.out.forwarding").split() == ["1", "1"]
        shell("sysctl -qw net.ipv6.conf.all.forwarding=1")
        driver.prepare()
        for address in MANAGEMENT:
            assert attacks.connects("beyond", address), "the host was a router before"


def test_a_host_with_dockers_rules(tmp_path: Path) -> None:
    driver_lab.run_alone(_docker, str(tmp_path))


def _docker(state_dir: str) -> None:
    """Docker's rules drop what goes through the host; with what the warning says to allow, all is as without."""
    with attacks.alone(state_dir, call_iptables=1) as host:
        attacks.neighbor("management", "mgmt", "198.51.100.", "fd78::")
        driver = host.network
        shell(f"printf '{_DOCKER}' | nft -f -; sysctl -qw net.ipv4.ip_forward=1")
        driver.keep()
        ann, bob = attacks.amphora(host), attacks.amphora(host)
        assert not attacks.connects(ann.name, OFFICE[0])
        (obstacle,) = firewall.obstacles(driver._vip)
        assert driver._vip.bridge in obstacle
        for way in ("iifname", "oifname"):
            shell(f"nft add rule ip filter FORWARD {way} {driver._vip.bridge} accept")
        assert attacks.connects(ann.name, OFFICE[0])
        assert attacks.connects("", ann.lb), "controllers reach agents"
        assert not attacks.connects(bob.name, ann.lb)
        assert not attacks.connects("beyond", MANAGEMENT[0]), "Docker's rules drop it"


def test_the_agent_network_is_closed_to_everybody_beyond_the_host(tmp_path: Path) -> None:
    driver_lab.run_alone(_beyond, str(tmp_path))


def _beyond(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        ann = attacks.amphora(host)
        controllers = host.network.controller_address()
        for address in (ann.lb, controllers):
            assert not attacks.connects("beyond", address)
