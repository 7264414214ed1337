"""Members that become other servers to HAProxy while it runs: what their clients see of it, which is nothing."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.member import Member
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import ListenerProtocol, MonitorType, PersistenceType, PoolProtocol
from hydria.testing.trees import POOL, identifier, listener, load_balancer, member, monitor, pool, tree
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP_NETWORK, Lab, Load, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

TCP = ListenerProtocol.TCP
ONE, TWO, THREE = (identifier(Member, number) for number in (1, 2, 3))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        for port in (8001, 8002):
            running.member(port)
        yield running


def of(number: int, **more: object) -> Member:
    return member(number, address=VIP_NETWORK[0], protocol_port=8000 + number, **more)


def state(
    generation: int,
    *children: object,
    protocol: ListenerProtocol = ListenerProtocol.HTTP,
    persistence: PersistenceType | None = None,
    speaks: PoolProtocol = PoolProtocol.HTTP,
    **of_pool: object,
) -> DesiredState:
    sticky = SessionPersistence(type=persistence) if persistence else None
    wanted = tree(
        load_balancer(vip_address=VIP),
        listener(default_pool_id=POOL, protocol=protocol, protocol_port=80),
        pool(protocol=speaks, session_persistence=sticky, **of_pool),
        *children,
    )
    rendered = desired_state(wanted, (ETH1,), Tuning(default_connection_limit=200), capabilities=CAPABILITIES)
    return replace(rendered, generation=generation)


def apply_live(lab: Lab, wanted: DesiredState) -> None:
    assert not lab.apply(wanted).reloaded, lab.log


def servers(lab: Lab) -> dict[str, bool]:
    """The servers that HAProxy has, and whether they are backups."""
    header, *rows = lab.haproxy("show stat").removeprefix("# ").strip().splitlines()
    found = [dict(zip(header.split(","), row.split(","), strict=False)) for row in rows]
    return {row["svname"]: row["bck"] == "1" for row in found if row["svname"] not in ("FRONTEND", "BACKEND")}


def checked_at(lab: Lab, name: str) -> tuple[str, str]:
    """Where the checks of a server go, its address and port."""
    header, *rows = lab.haproxy("show servers state").strip().splitlines()[1:]
    names = header.removeprefix("# ").split()
    (found,) = [
        row for row in (dict(zip(names, row.split(), strict=True)) for row in rows) if row["srv_name"] == name
    ]
    return found["srv_check_addr"].replace("0.0.0.0", "-"), found["srv_check_port"]


class Connection:
    """A client's TCP connection that lasts; the member behind it answers with its port."""

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

    def close(self) -> None:
        self._connection.close()


def connected_to(lab: Lab, port: str) -> Connection:
    """A connection to that member; others are closed."""
    while (found := Connection(lab)).member != port:
        found.close()
    return found


def test_the_backup_role_changes_without_a_failed_request(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2)))
    pids = lab.haproxy_pids()
    with Load(lab, keep_alive=4) as load:
        for generation in range(2, 12):
            backup = generation % 2 == 0
            apply_live(lab, state(generation, of(1), of(2, backup=backup)))
            expected = {"8001"} if backup else {"8001", "8002"}
            eventually(lambda expected=expected: lab.answerers() == expected)
            eventually(lambda backup=backup: servers(lab) == {ONE: False, TWO: backup})
            apply_live(lab, state(generation, of(1), of(2, backup=backup)))
    assert load.failures == []
    assert load.good > 100
    assert lab.haproxy_pids() == pids
    assert "1 server changed, no reload" in lab.log


def test_the_only_member_becomes_a_backup_without_a_failed_request(lab: Lab) -> None:
    lab.apply(state(1, of(1)))
    with Load(lab, keep_alive=4) as load:
        for generation in range(2, 12):
            apply_live(lab, state(generation, of(1, backup=generation % 2 == 0)))
    assert load.failures == []
    assert load.good > 20


def test_connections_last_through_all_changes_of_a_member(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2), monitor(type=MonitorType.TCP, delay=1), protocol=TCP))
    with closing(connected_to(lab, "8002")) as held:
        for generation, more in enumerate(
            (
                {"backup": True},
                {"backup": True, "monitor_port": 8001},
                {"monitor_port": 8001},
                {},
                {"backup": True},
            ),
            2,
        ):
            changed = state(
                generation, of(1), of(2, **more), monitor(type=MonitorType.TCP, delay=1), protocol=TCP
            )
            apply_live(lab, changed)
            expected = {"8001"} if "backup" in more else {"8001", "8002"}
            eventually(lambda expected=expected: lab.answerers() == expected)
            assert held.ask() == "8002"
            report = lab.heartbeat(lambda report, at=generation: report.generation == at)
            assert report.members == {ONE: "UP", TWO: "UP"}, "each member once"
        assert f"{TWO}:1" in servers(lab)
    eventually(lambda: servers(lab) == {ONE: False, TWO: True})


def test_a_member_that_is_another_server_now_is_changed_and_removed_as_any_other(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2), protocol=TCP))
    with closing(connected_to(lab, "8002")) as held:
        apply_live(lab, state(2, of(1, backup=True), of(2, backup=True), protocol=TCP))
        assert lab.answerers() == {"8001", "8002"}
        apply_live(lab, state(3, of(1, backup=True), of(2, backup=True, weight=0), protocol=TCP))
        assert lab.answerers() == {"8001"}
        apply_live(lab, state(4, of(1, backup=True, admin_state_up=False), of(2, backup=True), protocol=TCP))
        assert lab.answerers() == {"8002"}
        apply_live(lab, state(5, of(1, backup=True), protocol=TCP, drain_timeout=60))
        assert lab.answerers() == {"8001"}
        assert held.ask() == "8002"
        # It comes back as what it was at first, then as something new.
        apply_live(lab, state(6, of(1, backup=True), of(2), protocol=TCP))
        assert lab.answerers() == {"8002"}
        apply_live(lab, state(7, of(1, backup=True), protocol=TCP, drain_timeout=60))
        apply_live(lab, state(8, of(1, backup=True), of(2, backup=True), protocol=TCP))
        assert lab.answerers() == {"8001", "8002"}
        assert held.ask() == "8002"
    eventually(lambda: servers(lab) == {ONE: True, TWO: True})
    assert lab.answerers() == {"8001", "8002"}


def test_a_member_can_be_many_servers_one_after_another(lab: Lab) -> None:
    """Each has a connection still when the next one comes."""
    patiences = range(3, 9)
    lab.apply(state(1, of(1), of(2), monitor(max_retries=2), protocol=TCP))
    with ExitStack() as stack:
        held = [stack.enter_context(closing(connected_to(lab, "8002")))]
        for generation, patience in enumerate(patiences, start=2):
            apply_live(lab, state(generation, of(1), of(2), monitor(max_retries=patience), protocol=TCP))
            held.append(stack.enter_context(closing(connected_to(lab, "8002"))))
        eventually(lambda: len(servers(lab)) == 2 + len(patiences))
        assert {each.ask() for each in held} == {"8002"}
        report = lab.heartbeat(lambda report: report.generation == 1 + len(patiences))
        assert report.members == {ONE: "UP", TWO: "UP"}
        apply_live(lab, state(20, of(1), of(2), monitor(max_retries=2), protocol=TCP))
        assert {each.ask() for each in held} == {"8002"}
    eventually(lambda: servers(lab) == {ONE: False, TWO: False})
    assert lab.answerers() == {"8001", "8002"}


def test_what_was_replaced_and_removed_ends_in_time(lab: Lab) -> None:
    """The lab's agent gives removed servers two seconds."""
    lab.apply(state(1, of(1), of(2), protocol=TCP))
    with closing(connected_to(lab, "8002")):
        apply_live(lab, state(2, of(1), of(2, backup=True), protocol=TCP))
        apply_live(lab, state(3, of(1), protocol=TCP))
        eventually(lambda: servers(lab) == {ONE: False})


@pytest.mark.parametrize("persistence", [PersistenceType.SOURCE_IP, PersistenceType.HTTP_COOKIE])
def test_who_sticks_to_a_member_stays_with_it(lab: Lab, persistence: PersistenceType) -> None:
    cookies: dict[str, str] = {}

    def ask() -> str:
        def request() -> str:
            with closing(http.client.HTTPConnection(VIP, 80, timeout=5)) as connection:
                connection.request("GET", "/", headers=cookies)
                answer = connection.getresponse()
                if said := answer.getheader("Set-Cookie"):
                    cookies["Cookie"] = said.partition(";")[0]
                return answer.read().decode()

        return lab.outside.run(request)

    lab.apply(state(1, of(1), of(2), persistence=persistence))
    its_port = ask()
    number = int(its_port) - 8000
    its = dict(cookies)
    for generation in range(2, 6):
        backup = generation % 2 == 0
        wanted = state(generation, of(3 - number), of(number, backup=backup), persistence=persistence)
        with closing(waiting(lab, identifier(Member, number), **cookies)):
            apply_live(lab, wanted)
            assert len(servers(lab)) == 3
            assert {ask() for _ in range(5)} == {its_port}
        eventually(lambda: len(servers(lab)) == 2)
        assert {ask() for _ in range(5)} == {its_port}
    assert cookies == its


def test_who_sticks_to_a_member_stays_with_it_over_reloads(lab: Lab) -> None:
    """From the first second of the first process on, in a chain of reloads, and after one that knew of nothing.

    None of them waits for the five seconds that HAProxy gives its peers.
    """

    def ask() -> str:
        def request() -> str:
            with closing(http.client.HTTPConnection(VIP, 80, timeout=5)) as connection:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()

        return lab.outside.run(request)

    def load(generation: int, persistence: PersistenceType | None = PersistenceType.SOURCE_IP) -> None:
        wanted = state(generation, of(1), of(2), persistence=persistence)
        text = wanted.haproxy.replace("timeout client 50000ms", f"timeout client {50_000 + generation}ms")
        assert text != wanted.haproxy
        began = time.monotonic()
        assert lab.apply(replace(wanted, haproxy=text, structure=f"{generation}")).reloaded
        assert time.monotonic() - began < 2

    def sticks_to(member: str) -> bool:
        eventually(lambda: "used:1" in lab.haproxy("show table"))
        return {ask() for _ in range(4)} == {member}

    load(1)
    its = ask()
    for generation in range(2, 5):
        load(generation)
        assert sticks_to(its)
    for generation in range(5, 9):
        load(generation)  # nobody looks between them
    assert sticks_to(its)
    load(9, None)
    assert {ask() for _ in range(4)} == {"8001", "8002"}
    load(10)
    its = ask()
    for generation in range(11, 14):
        load(generation)
    assert sticks_to(its)


def test_a_cookie_names_the_member_whoever_stands_in_for_it(lab: Lab) -> None:
    lab.apply(state(1, of(1), persistence=PersistenceType.HTTP_COOKIE))

    def ask(**headers: str) -> tuple[str, str | None]:
        def request() -> tuple[str, str | None]:
            with closing(http.client.HTTPConnection(VIP, 80, timeout=5)) as connection:
                connection.request("GET", "/", headers=headers)
                answer = connection.getresponse()
                return answer.read().decode(), answer.getheader("Set-Cookie")

        return lab.outside.run(request)

    with closing(waiting(lab, ONE)):
        apply_live(lab, state(2, of(1, backup=True), persistence=PersistenceType.HTTP_COOKIE))
        assert f"{ONE}:1" in servers(lab)
        assert ask() == ("8001", f"SRV={ONE}; path=/")
        assert ask(Cookie=f"SRV={ONE}") == ("8001", None)


def waiting(lab: Lab, name: str, **headers: str) -> socket.socket:
    """A request whose end a member waits for."""
    lines = [
        "PUT / HTTP/1.1",
        "Host: x",
        "Content-Length: 10",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]

    def begin() -> socket.socket:
        connection = socket.create_connection((VIP, 80), timeout=5)
        connection.sendall("\r\n".join([*lines, "", "12345"]).encode())
        return connection

    made = lab.outside.run(begin)
    eventually(lambda: current(lab, name) == 1)
    return made


def current(lab: Lab, name: str) -> int:
    """The requests that a server is busy with."""
    header, *rows = lab.haproxy("show stat").removeprefix("# ").strip().splitlines()
    place = header.split(",").index("scur")
    return sum(int(row.split(",")[place]) for row in rows if row.split(",")[1] == name)


def test_who_is_known_to_be_down_is_not_tried_as_something_else(lab: Lab) -> None:
    """A check each minute: HAProxy would believe a new server up for a long time."""
    often = monitor(type=MonitorType.TCP, delay=1, max_retries_down=1)
    seldom = monitor(type=MonitorType.TCP, delay=60, max_retries_down=1)
    lab.apply(state(1, of(1, backup=True), of(3), often))
    lab.heartbeat(lambda report: report.members.get(THREE) == "DOWN")
    with Load(lab) as load:
        for generation in range(2, 8):
            backup = generation % 2 == 0
            apply_live(lab, state(generation, of(1, backup=True), of(3, backup=backup), seldom))
            report = lab.heartbeat(lambda report, at=generation: report.generation == at)
            assert report.members == {ONE: "UP", THREE: "DOWN"}
            eventually(lambda: len(servers(lab)) == 2)
            report = lab.heartbeat(lambda report, at=report.sequence: report.sequence > at)
            assert report.members == {ONE: "UP", THREE: "DOWN"}
    assert load.failures == []


def test_where_a_member_is_monitored_changes_live(lab: Lab) -> None:
    often = monitor(type=MonitorType.TCP, delay=1, timeout=1, max_retries=1, max_retries_down=1)
    lab.apply(state(1, of(1), of(2), often))
    pids = lab.haproxy_pids()
    lab.heartbeat(lambda report: report.members == {ONE: "UP", TWO: "UP"})
    apply_live(lab, state(2, of(1), of(2, monitor_port=9), often))
    assert checked_at(lab, TWO) == ("-", "9")
    lab.heartbeat(lambda report: report.members == {ONE: "UP", TWO: "DOWN"})
    apply_live(lab, state(3, of(1), of(2, monitor_port=8001), often))
    lab.heartbeat(lambda report: report.members == {ONE: "UP", TWO: "UP"})
    apply_live(lab, state(4, of(1), of(2, monitor_address="fd78::1", monitor_port=8001), often))
    assert checked_at(lab, TWO) == ("fd78::1", "8001")
    lab.heartbeat(lambda report: report.members == {ONE: "UP", TWO: "DOWN"})
    apply_live(lab, state(5, of(1), of(2), often))
    assert checked_at(lab, TWO) == ("-", "0")
    lab.heartbeat(lambda report: report.members == {ONE: "UP", TWO: "UP"})
    assert lab.haproxy_pids() == pids


def test_a_disabled_member_that_is_added_is_not_checked_before_it_serves(lab: Lab) -> None:
    often = monitor(type=MonitorType.HTTP, delay=1, timeout=1, max_retries=1, max_retries_down=1)
    lab.apply(state(1, of(1), often))
    with lab.outside.run(lambda: socket.create_server((VIP_NETWORK[0], 8003))) as asked:
        asked.settimeout(2.5)
        apply_live(lab, state(2, of(1), of(3, admin_state_up=False), often))
        with pytest.raises(TimeoutError):
            asked.accept()
        apply_live(lab, state(3, of(1), of(3), often))
        asked.accept()[0].close()
        apply_live(lab, state(4, of(1), of(3, admin_state_up=False), often))
        with pytest.raises(TimeoutError):  # noqa: PT012  (one check may be on its way)
            asked.accept()[0].close()
            asked.accept()


def test_a_process_that_comes_has_the_new_monitor_port_whatever_the_old_one_had(lab: Lab) -> None:
    seldom = monitor(type=MonitorType.TCP, delay=60)
    lab.apply(state(1, of(1), of(2, monitor_port=9, monitor_address="10.78.0.1"), seldom))
    assert lab.apply(state(2, of(1), of(2), seldom, protocol=TCP)).reloaded
    assert checked_at(lab, TWO) == ("-", "0")


def test_a_check_of_another_port_has_no_proxy_header(lab: Lab) -> None:
    """Whether checks speak as the traffic does is settled when a server is made."""
    doors = {port: lab.outside.run(lambda port=port: listening(port)) for port in (8003, 8009)}

    def asked(port: int) -> bytes:
        def hear() -> bytes:
            connection, _ = doors[port].accept()
            with connection:
                connection.settimeout(5)
                return connection.recv(100)

        return lab.outside.run(hear)

    often = monitor(type=MonitorType.HTTP, delay=1, timeout=1)
    of_pool = {"protocol": TCP, "speaks": PoolProtocol.PROXY}
    with closing(doors[8003]), closing(doors[8009]):
        lab.apply(state(1, of(3), often, **of_pool))
        assert asked(8003).startswith(b"PROXY")
        apply_live(lab, state(2, of(3, monitor_port=8009), often, **of_pool))
        assert asked(8009).startswith(b"GET ")
        apply_live(lab, state(3, of(3), often, **of_pool))
        eventually(lambda: asked(8003).startswith(b"PROXY"))


def listening(port: int) -> socket.socket:
    made = socket.create_server((VIP_NETWORK[0], port))
    made.settimeout(10)
    return made


def test_an_agent_that_dies_meanwhile_goes_on_with_one_server_each(lab: Lab) -> None:
    lab.apply(state(1, of(1), of(2), protocol=TCP))
    with closing(connected_to(lab, "8002")) as held:
        apply_live(lab, state(2, of(1), of(2, backup=True), protocol=TCP))
        assert f"{TWO}:1" in servers(lab)
        agent = lab.agent_pid()
        os.kill(agent, signal.SIGKILL)
        eventually(lambda: lab.agent_pid() not in (0, agent))
        eventually(lambda: agent_lab.answers(lab))
        eventually(lambda: servers(lab) == {ONE: False, TWO: True})
        assert held.ask() == "8002"
    assert lab.answerers() == {"8001"}
