"""The attacker is a tenant, and has a load balancer connect to where it should not, by way of members."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria.model.errors import Invalid
from hydria.model.rules import Deployment, member_created
from tests import driver_lab
from tests.driver_lab import shell
from tests.security import network_attacks as attacks

_OWN = "it is the deployment's own"


@pytest.mark.parametrize("field", ["address", "monitor_address"])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("169.254.169.254", "is not a valid option"),
        ("169.254.0.1", "is not a valid option"),
        ("::ffff:169.254.169.254", "is not a valid option"),
        ("64:ff9b::a9fe:a9fe", "is not a valid option"),
        ("fd00:ec2::254", "is not a valid option"),
        ("fe80::1", "is not a valid option"),
        ("10.0.5.7", "is not a valid option"),  # in a network of the operator's choice
        ("64:ff9b::10.0.5.7", "is not a valid option"),
        ("127.0.0.1", "it is a loopback address"),
        ("::1", "it is a loopback address"),
        ("::ffff:127.8.0.1", "it is a loopback address"),
        ("224.0.0.1", "it is a multicast address"),
        ("ff02::1", "it is a multicast address"),
        ("255.255.255.255", "it is the broadcast address"),
        ("10.198.0.1", _OWN),
        ("10.198.3.9", _OWN),
        ("192.0.2.2", _OWN),
        ("64:ff9b::192.0.2.2", _OWN),
    ],
)
def test_members_are_refused_where_none_may_be(field: str, address: str, words: str) -> None:
    site = Deployment(reserved_ips=(*Deployment().reserved_ips, "10.0.0.0/16"))
    site.check()
    values = {"address": "192.0.2.9", field: address}
    with pytest.raises(Invalid) as refused:
        member_created(values, site, closed=("10.198.0.0/20", "192.0.2.2"))
    assert address in refused.value.message
    assert words in refused.value.message


def test_a_network_that_is_none_is_said_at_the_start() -> None:
    with pytest.raises(Invalid, match=r"Option reserved_ips: .*10\.0\.0\.5/24"):
        Deployment(reserved_ips=("10.0.0.5/24",)).check()


@pytest.mark.node
def test_the_hosts_own_addresses_are_closed_but_one(tmp_path: Path) -> None:
    driver_lab.run_alone(_own_addresses, str(tmp_path), "")


@pytest.mark.node
def test_the_operator_may_open_another(tmp_path: Path) -> None:
    driver_lab.run_alone(_own_addresses, str(tmp_path), "192.168.77.2")


def _own_addresses(state_dir: str, opened: str) -> None:
    """What the API refuses, the packet filter drops: addresses may come to the host after a member was made."""
    with attacks.alone(state_dir, bridge={"member_host_addresses": [opened] if opened else []}) as host:
        attacks.listen()
        ann = attacks.amphora(host)
        driver = host.network
        gateways = [str(found.host.ip) for found in driver._vip.ranges]
        for address in gateways:
            assert attacks.connects(ann.name, address), "members on this host, for who tries it on a laptop"
        closed = set(driver.closed_to_members())
        assert closed.isdisjoint(gateways)
        shell("ip addr add 198.51.100.2/32 dev lo")  # too late for what the API has read
        for address in ("192.168.77.2", "fd77::2", "198.51.100.2", driver.controller_address()):
            assert attacks.connects(ann.name, address) is (address == opened), address
            if address not in ("198.51.100.2", driver.controller_address()):
                assert (address in closed) is (address != opened)
        assert str(driver._lb.ranges[0].network) in closed
        # The host's own clients are answered, whatever address they come from.
        assert attacks.connects("", ann.vip, source="192.168.77.2")
