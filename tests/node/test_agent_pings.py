"""PING monitors: HAProxy asks the agent, and the agent the member, whether it answers echo requests."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.member import Member
from hydria.model.statuses import MonitorType
from hydria.testing.trees import POOL, identifier, listener, load_balancer, member, monitor, pool, tree
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP6, VIP_NETWORK, Lab
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

ONE, TWO, SIX = (identifier(Member, number) for number in (1, 2, 3))
NOBODY = "10.78.0.99"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        running.member(8001)
        running.member(8003, "fd78::1")
        yield running


def state(generation: int, two: str | None, **more: object) -> DesiredState:
    """Three members that serve; ``two`` is where the second one is asked. Checks come each second."""
    additional = [{"subnet_id": POOL, "ip_address": VIP6, "port_id": POOL}]
    wanted = tree(
        load_balancer(vip_address=VIP, additional_vips=additional),
        listener(default_pool_id=POOL, protocol_port=80),
        pool(**more),
        member(1, address=VIP_NETWORK[0], protocol_port=8001),
        member(2, address=VIP_NETWORK[0], protocol_port=8002, monitor_address=two, monitor_port=9),
        member(3, address="fd78::1", protocol_port=8003),
        monitor(type=MonitorType.PING, delay=1, timeout=1, max_retries=1, max_retries_down=1),
    )
    rendered = desired_state(wanted, (ETH1,), Tuning(default_connection_limit=200), capabilities=CAPABILITIES)
    return replace(rendered, generation=generation)


def await_members(lab: Lab, **expected: str) -> None:
    words = {ONE: expected["one"], TWO: expected["two"], SIX: expected["six"]}
    lab.heartbeat(lambda report: dict(report.members) == words)


def test_who_answers_pings_gets_requests(lab: Lab) -> None:
    assert lab.apply(state(1, NOBODY)).reloaded
    await_members(lab, one="UP", two="DOWN", six="UP")
    assert lab.answerers() == {"8001", "8003"}


def test_another_address_to_ping_takes_no_reload(lab: Lab) -> None:
    lab.member(8002)
    lab.apply(state(1, NOBODY))
    await_members(lab, one="UP", two="DOWN", six="UP")
    assert not lab.apply(state(2, None)).reloaded
    await_members(lab, one="UP", two="UP", six="UP")
    assert lab.answerers() == {"8001", "8002", "8003"}


def test_members_that_fall_silent_and_come_back(lab: Lab) -> None:
    lab.apply(state(1, None))
    await_members(lab, one="UP", two="UP", six="UP")
    silent = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")
    lab.outside.run(lambda: silent.write_text("1"))
    await_members(lab, one="DOWN", two="DOWN", six="UP")
    assert lab.answerers() == {"8003"}
    lab.outside.run(lambda: silent.write_text("0"))
    await_members(lab, one="UP", two="UP", six="UP")


def test_a_pool_that_speaks_tls_is_pinged_without_it(lab: Lab) -> None:
    lab.apply(state(1, NOBODY, tls_enabled=True))
    await_members(lab, one="UP", two="DOWN", six="UP")


def test_after_the_agent_has_died_pings_go_on(lab: Lab) -> None:
    lab.apply(state(1, NOBODY))
    await_members(lab, one="UP", two="DOWN", six="UP")
    subprocess.run(["kill", "-9", str(lab.agent_pid())], check=True)
    agent_lab.eventually(lambda: agent_lab.answers(lab))
    await_members(lab, one="UP", two="DOWN", six="UP")
    assert lab.answerers() == {"8001", "8003"}
