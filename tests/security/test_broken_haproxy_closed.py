"""The attacker has broken into HAProxy, or has it made connect somewhere: to what is closed to amphorae."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from tests import driver_lab
from tests.driver_lab import shell
from tests.security import network_attacks as attacks

pytestmark = pytest.mark.node


def test_nothing_begins_towards_closed_networks(tmp_path: Path) -> None:
    driver_lab.run_alone(_closed, str(tmp_path))


def _closed(state_dir: str) -> None:
    with attacks.alone(state_dir, command=()) as host:
        attacks.neighbor("open", "more", "198.51.100.", "fd78::")
        host.network.keep()
        lb = host.network._lb.ranges[0]
        controllers = host.network.controller_address()
        order = host.order(LocalCertificateAuthority(host.settings))
        closed = ("192.168.77.0/24", "fd77::/64", "fe80::/10", str(lb.network))
        order = replace(order, boot=replace(order.boot, closed=closed, opened=(controllers,)))
        name = host.compute.order(order).compute_id
        driver_lab.wait_for(
            lambda: "hydria_closed" in shell(f"ip netns exec {name} nft list tables"), "the rules"
        )
        attacks.dress(host, order, name)
        for address in ("198.51.100.1", "fd78::1"):
            assert attacks.connects(name, address), "what is not closed"
        for address in ("192.168.77.1", "fd77::1"):
            assert not attacks.connects(name, address)
        # Who is closed to the amphora is so by its rules, and is still answered: an agent listens for controllers.
        driver_lab.wait_for(
            lambda: attacks.connects("", order.boot.bind_host, order.boot.bind_port), "its agent"
        )
        attacks.listen(name, 8)
        own = order.attachments[0].addresses[0].partition("/")[0]
        assert attacks.connects("beyond", own, 8), "clients there are served"
        with socket.socket(type=socket.SOCK_DGRAM) as heartbeats:
            heartbeats.bind((controllers, host.settings.health_manager.bind_port))
            assert attacks.heard(heartbeats, lambda: attacks.say(name, controllers, 5555)), "heartbeats go"
        with pytest.raises(PermissionError):
            attacks.say(name, str(lb.network[99]), 5555)
