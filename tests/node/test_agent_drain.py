"""Members that leave, and members that come, by the clock of their pool: seen by clients' connections."""

import http.client
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.member import Member
from hydria.model.statuses import ListenerProtocol
from hydria.testing.trees import POOL, listener, load_balancer, member, pool, tree
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP_NETWORK, Lab, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node
LEAVING = {"removed": None, "weight": {"weight": 0}, "disabled": {"admin_state_up": False}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An amphora whose agent gives removed servers two seconds where nobody says anything else."""
    with agent_lab.running(tmp_path) as running:
        for port in (8001, 8002):
            running.member(port)
        yield running


def of(number: int, **more: object) -> Member:
    return member(number, address=VIP_NETWORK[0], protocol_port=8000 + number, **more)


def state(
    generation: int,
    *members: Member,
    protocol: ListenerProtocol = ListenerProtocol.TCP,
    **more: object,
) -> DesiredState:
    wanted = tree(
        load_balancer(vip_address=VIP),
        listener(default_pool_id=POOL, protocol=protocol, protocol_port=80),
        pool(**more),
        *members,
    )
    rendered = desired_state(wanted, (ETH1,), Tuning(default_connection_limit=200), capabilities=CAPABILITIES)
    return replace(rendered, generation=generation)


class Client:
    """A connection that goes on; ``member``: the port of the one it is with."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._connection = http.client.HTTPConnection(VIP, 80, timeout=5)
        self._connection.auto_open = 0
        lab.outside.run(self._connection.connect)
        self.member = self.ask()

    def ask(self) -> str:
        def request() -> str:
            self._connection.request("GET", "/")
            return self._connection.getresponse().read().decode()

        return self._lab.outside.run(request)

    def closed(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask() != self.member
        return True


def connected_to(lab: Lab, port: str) -> Client:
    clients = [Client(lab) for _ in range(2)]
    return next(client for client in clients if client.member == port)


@pytest.mark.parametrize("how", LEAVING)
def test_connections_of_a_member_that_leaves_end_in_time(lab: Lab, how: str) -> None:
    changed = () if LEAVING[how] is None else (of(2, **LEAVING[how]),)
    lab.apply(state(1, of(1), of(2), drain_timeout=4))
    client, other = connected_to(lab, "8002"), connected_to(lab, "8001")
    began = time.monotonic()
    assert not lab.apply(state(2, of(1), *changed, drain_timeout=4)).reloaded
    assert lab.answerers() == {"8001"}
    while time.monotonic() < began + 3:
        assert not client.closed(), time.monotonic() - began
        time.sleep(0.1)
    eventually(client.closed)
    assert 3.9 < time.monotonic() - began < 7
    assert not other.closed()


@pytest.mark.parametrize("how", LEAVING)
def test_no_patience_at_all(lab: Lab, how: str) -> None:
    changed = () if LEAVING[how] is None else (of(2, **LEAVING[how]),)
    lab.apply(state(1, of(1), of(2), drain_timeout=0))
    client = connected_to(lab, "8002")
    began = time.monotonic()
    assert not lab.apply(state(2, of(1), *changed, drain_timeout=0)).reloaded
    eventually(client.closed)
    assert time.monotonic() - began < 1.5


def test_who_comes_back_in_time_keeps_its_connections(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2), drain_timeout=1))
    client = connected_to(lab, "8002")
    lab.apply(state(2, of(1), of(2, weight=0), drain_timeout=1))
    lab.apply(state(3, of(1), of(2), drain_timeout=1))
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert not client.closed()
        time.sleep(0.1)


def test_without_a_timeout_connections_to_a_weight_of_zero_go_on(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2)))
    client = connected_to(lab, "8002")
    lab.apply(state(2, of(1), of(2, weight=0)))
    until = time.monotonic() + 3  # longer than a removed one would have
    while time.monotonic() < until:
        assert not client.closed()
        time.sleep(0.1)
    # A timeout that is set only now counts from now.
    began = time.monotonic()
    assert not lab.apply(state(3, of(1), of(2, weight=0), drain_timeout=1)).reloaded
    eventually(client.closed)
    assert 0.9 < time.monotonic() - began < 4


@pytest.mark.parametrize("slow_start", [None, 60])
def test_a_member_that_comes_gets_its_share_by_and_by(lab: Lab, slow_start: int | None) -> None:
    more = {"protocol": ListenerProtocol.HTTP, "slow_start": slow_start}
    lab.apply(state(1, of(1), **more))
    assert not lab.apply(state(2, of(1), of(2), **more)).reloaded
    shares = Counter(lab.get() for _ in range(60))
    if slow_start is None:
        assert 25 <= shares["8002"] <= 35
    else:
        assert 0 < shares["8002"] <= 15
