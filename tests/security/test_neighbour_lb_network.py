"""The attacker has an amphora, with all rights in it, and wants to talk to another one's agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydria.drivers.netlink import Netlink
from hydria.model.errors import DriverError
from tests import driver_lab
from tests.driver_lab import shell
from tests.security import network_attacks as attacks

pytestmark = pytest.mark.node


@pytest.mark.parametrize("call_iptables", [0, 1], ids=["plain", "br_netfilter"])
def test_amphorae_do_not_reach_each_other_on_the_lb_network(tmp_path: Path, call_iptables: int) -> None:
    driver_lab.run_alone(_two_amphorae, str(tmp_path), call_iptables)


def _two_amphorae(state_dir: str, call_iptables: int) -> None:
    with attacks.alone(state_dir, call_iptables=call_iptables) as host:
        one, other = attacks.amphora(host), attacks.amphora(host)
        assert attacks.connects("", other.lb), "controllers reach agents"
        assert not attacks.connects(one.name, other.lb)
        neighbors = shell(f"ip -n {one.name} neigh show {other.lb} dev eth0")
        assert "lladdr" not in neighbors, "not even ARP crosses"
        assert list(host.network.weaknesses()) == []


def test_a_port_that_lost_its_isolation_is_told_and_healed(tmp_path: Path) -> None:
    driver_lab.run_alone(_lost_isolation, str(tmp_path))


def _lost_isolation(state_dir: str) -> None:
    with attacks.alone(state_dir) as host:
        one, other = attacks.amphora(host), attacks.amphora(host)
        for each in (one, other):  # as every earlier version left them
            shell(f"bridge link set dev {each.link(0)} isolated off")
        assert [each.link(0) in told for each, told in zip(
            sorted((one, other), key=lambda each: each.link(0)), sorted(host.network.weaknesses()), strict=True
        )] == [True, True]  # fmt: skip
        host.network.prepare()
        assert list(host.network.weaknesses()) == []
        assert not attacks.connects(one.name, other.lb)


def test_isolation_that_the_kernel_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(Netlink):
        """Takes every order, and does nothing, as a library with other names does."""

        def _ask(self, what: str, request: object) -> object:
            return super()._ask(what, request) if what.startswith("look up") else None  # type: ignore[arg-type]

    with pytest.raises(DriverError, match="The port lo of its bridge is not isolated"):
        Deaf().isolate("lo")
