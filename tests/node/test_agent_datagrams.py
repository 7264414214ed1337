"""UDP through an amphora: real datagrams from a client on the outside to servers on the outside."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from hydria.wire.state import DesiredState, Probe, Service, Target
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP6, Lab, Outside, eventually, server, state

pytestmark = pytest.mark.node

OUTSIDE, OUTSIDE6 = "10.78.0.1", "fd78::1"
LISTENER = "11111111-0000-4000-8000-000000000053"
POOL = "22222222-0000-4000-8000-000000000053"
PROBE = Probe("UDP-CONNECT", delay=1, timeout=1, rise=1, fall=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        yield running


class Echo:
    """A server that answers every datagram with its own name and who asked."""

    def __init__(self, where: Outside, name: str, address: str = OUTSIDE) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.name = name
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.socket = where.run(lambda: _bound(family, address))
        self.target = Target(name, address, self.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                _, client = self.socket.recvfrom(2048)
                if client is None:  # shut down
                    return
                self.asked.set()
                self.may_answer.wait()
                self.socket.sendto(f"{self.name} {client[0]}".encode(), client)

    def close(self) -> None:
        self.may_answer.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join(5)


def _bound(family: socket.AddressFamily, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind((address, 0))
    return made


@contextmanager
def echoes(lab: Lab, count: int, address: str = OUTSIDE) -> Iterator[list[Echo]]:
    with ExitStack() as stack:
        made = [Echo(lab.outside, f"m{number}", address) for number in range(1, count + 1)]
        for each in made:
            stack.callback(each.close)
        yield made


def udp(
    generation: int, *targets: Target, vips: tuple[str, ...] = (VIP, VIP6), **more: object
) -> DesiredState:
    service = Service(LISTENER, POOL, "udp", vips, 53, targets, **more)  # type: ignore[arg-type]  # of the test
    return DesiredState(generation, interfaces=(ETH1,), services=(service,))


class Client:
    """One flow: a socket that keeps its port."""

    def __init__(self, lab: Lab, vip: str = VIP, port: int = 53, source: str = "") -> None:
        family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        self.socket = lab.outside.run(lambda: socket.socket(family, socket.SOCK_DGRAM))
        self.socket.settimeout(0.4)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((vip, port))

    def ask(self, times: int = 3) -> str:
        """Who answers; "" for nobody. A datagram may be lost."""
        for _ in range(times):
            with suppress(OSError):
                self.socket.send(b"?")
                return self.socket.recv(100).decode().split()[0]
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(lab: Lab, times: int = 3, **how: object) -> str:
    with Client(lab, **how) as client:  # type: ignore[arg-type]  # as given
        return client.ask(times)


def answers(lab: Lab, count: int, **how: object) -> Counter[str]:
    return Counter(ask(lab, **how) for _ in range(count))


def changed(target: Target, **more: object) -> Target:

    return dataclasses.replace(target, **more)  # type: ignore[arg-type]  # of the test


def test_flows_take_turns_by_weight_and_members_see_the_amphora(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, changed(one.target, weight=3), two.target))
        assert answers(lab, 16) == {"m1": 12, "m2": 4}
        with Client(lab) as client:
            client.socket.send(b"?")
            _, seen = client.socket.recv(100).decode().split()
        assert seen == ETH1.addresses[0].partition("/")[0]


def test_ipv6(lab: Lab) -> None:
    with echoes(lab, 2, OUTSIDE6) as (one, two):
        lab.apply(udp(1, one.target, two.target))
        assert answers(lab, 6, vip=VIP6) == {"m1": 3, "m2": 3}
        assert ask(lab, times=1) == ""  # no member of the VIP's family


def test_tcp_and_udp_on_the_same_port(lab: Lab) -> None:
    lab.member(8001)
    with echoes(lab, 1) as (one,):
        of_http = state(1, server(8001))
        service = Service(LISTENER, POOL, "udp", (VIP,), 80, (one.target,))

        lab.apply(dataclasses.replace(of_http, services=(service,)))
        assert lab.get() == "8001"
        assert ask(lab, port=80) == "m1"
        flows = lab.in_amphora("cat", "/proc/net/nf_conntrack")
        assert ("udp" in flows, "tcp" in flows) == (True, False), (
            "TCP is none of the packet filter's business"
        )


@pytest.mark.parametrize(("balance", "distinct"), [("source", 1), ("flow", 2), ("least", 2)])
def test_balance(lab: Lab, balance: str, distinct: int) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, one.target, two.target, balance=balance))
        assert len(answers(lab, 24)) == distinct


def test_new_flows_go_to_who_has_the_fewest(lab: Lab) -> None:
    """For their weights; once in a while others get some, before it is looked again."""
    with echoes(lab, 2) as (one, two), ExitStack() as stack:

        def open_flow() -> str:
            return stack.enter_context(Client(lab)).ask()

        lab.apply(udp(1, one.target, balance="least"))
        assert [open_flow() for _ in range(24)] == ["m1"] * 24
        lab.apply(udp(2, one.target, two.target, balance="least"))
        first = [open_flow() for _ in range(16)]
        assert first == ["m2"] * 16
        lab.heartbeat(lambda report: report.generation == 2)
        # The agent looks by itself, so that the second gets no more than what it lacks, and what comes meanwhile.
        found = Counter(first)

        def level() -> bool:
            found[open_flow()] += 1
            return found["m1"] > 0

        eventually(level, 30)
        # One that is to have three times as much is filled up to that.
        lab.apply(udp(3, changed(one.target, weight=3), two.target, balance="least"))
        assert [open_flow() for _ in range(8)] == ["m1"] * 8


def test_a_change_leaves_flows_of_others_alone(lab: Lab) -> None:
    with echoes(lab, 3) as (one, two, three), ExitStack() as stack:
        lab.apply(udp(1, one.target, two.target))
        clients = [stack.enter_context(Client(lab)) for _ in range(6)]
        before = [client.ask() for client in clients]
        assert set(before) == {"m1", "m2"}
        lab.apply(udp(2, one.target, two.target, three.target))
        assert [client.ask() for client in clients] == before
        assert "m3" in answers(lab, 6)
        # Without weight a member keeps the flows that it has.
        lab.apply(udp(3, changed(one.target, weight=0), two.target, three.target))
        assert [client.ask() for client in clients] == before
        assert set(answers(lab, 8)) == {"m2", "m3"}
        # One that is gone loses them to others.
        lab.apply(udp(4, two.target, three.target))
        after = [client.ask() for client in clients]
        assert set(after) == {"m2", "m3"}
        assert [now for now, was in zip(after, before, strict=True) if was == "m2"] == ["m2"] * before.count(
            "m2"
        )


@pytest.mark.parametrize(("vip", "address"), [(VIP, OUTSIDE), (VIP6, OUTSIDE6)])
@pytest.mark.parametrize("removed", [False, True])
def test_an_answer_under_way_arrives(lab: Lab, vip: str, address: str, *, removed: bool) -> None:
    with echoes(lab, 2, address) as (one, two), Client(lab, vip) as client:
        lab.apply(udp(1, one.target))
        assert client.ask() == "m1"
        one.asked.clear()
        one.may_answer.clear()
        client.socket.send(b"?")
        assert one.asked.wait(10)
        leaving = () if removed else (changed(one.target, enabled=False),)
        lab.apply(udp(2, *leaving, two.target))
        one.may_answer.set()
        assert client.socket.recv(100).startswith(b"m1")
        assert client.ask() == "m2"
        # Where the answer came from, answers are those of the new flow again.
        lab.apply(udp(3, one.target))
        assert client.ask() == "m1"


def test_nothing_is_lost_while_members_come_and_go(lab: Lab) -> None:
    with echoes(lab, 3) as made, ExitStack() as stack:
        targets = [each.target for each in made]
        lab.apply(udp(1, *targets))
        clients = [stack.enter_context(Client(lab)) for _ in range(4)]
        done = threading.Event()

        def ask_steadily(client: Client) -> int:
            answered = 0
            client.socket.settimeout(10)
            while not done.is_set():
                client.socket.send(b"?")
                client.socket.recv(100)  # a datagram that is lost has no other in its place
                answered += 1
            return answered

        with ThreadPoolExecutor(len(clients)) as threads:
            asking = [threads.submit(ask_steadily, client) for client in clients]
            try:
                for generation in range(2, 42):
                    off = targets[generation % 3]
                    others = [target for target in targets if target is not off]
                    gone = () if generation % 2 else (changed(off, enabled=False),)
                    lab.apply(udp(generation, *others, *gone))
            finally:
                done.set()
            assert all(each.result() > 40 for each in asking)


def test_a_dead_member_loses_its_flows_at_once(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, one.target, two.target, probe=PROBE))
        with Client(lab) as first, Client(lab) as second:
            clients = {client.ask(): client for client in (first, second)}
            assert set(clients) == {"m1", "m2"}
            one.close()
            report = lab.heartbeat(lambda report: report.members.get("m1") == "DOWN")
            assert report.members["m2"] == "UP"
            assert report.pools == {POOL: "UP"}
            assert clients["m1"].ask() == "m2"
            assert clients["m2"].ask() == "m2"
            assert answers(lab, 4) == {"m2": 4}
            two.close()
            lab.heartbeat(lambda report: report.pools.get(POOL) == "DOWN")
            assert ask(lab, times=1) == ""


def test_a_member_that_comes_back_is_used_again(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, one.target, two.target, probe=PROBE))
        one.close()
        lab.heartbeat(lambda report: report.members.get("m1") == "DOWN")

        def again() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((OUTSIDE, one.target.port))
            return made

        with lab.outside.run(again):
            lab.heartbeat(lambda report: report.members.get("m1") == "UP")


def test_backups_serve_when_nobody_else_does(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, one.target, changed(two.target, backup=True), probe=PROBE))
        assert answers(lab, 4) == {"m1": 4}
        one.close()
        lab.heartbeat(lambda report: report.members.get("m1") == "DOWN")
        assert answers(lab, 4) == {"m2": 4}


@pytest.mark.parametrize("kind", ["TCP", "HTTP"])
def test_probes_of_other_kinds(lab: Lab, kind: str) -> None:
    lab.member(8001)
    probe = Probe(kind, delay=1, timeout=1, rise=1, fall=1, path="/", version="1.1", host="x")
    with echoes(lab, 2) as (one, two):
        good, bad = changed(one.target, probe_port=8001), changed(two.target, probe_port=8002)
        lab.apply(udp(1, good, bad, probe=probe))
        report = lab.heartbeat(lambda report: report.members.get("m2") == "DOWN")
        assert report.members["m1"] == "UP"
        if kind == "HTTP":
            lab.apply(udp(2, good, bad, probe=Probe(kind, 1, 1, 1, 1, path="/", codes=(201,))))
            lab.heartbeat(lambda report: report.members.get("m1") == "DOWN")


def test_members_that_are_off_or_not_asked(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, changed(one.target, enabled=False), two.target))
        report = lab.heartbeat(lambda report: "m2" in report.members)
        assert report.members == {"m1": "MAINT", "m2": "NO_CHECK"}
        assert answers(lab, 4) == {"m2": 4}


def test_clients_stick(lab: Lab) -> None:
    with echoes(lab, 3) as made:
        targets = [each.target for each in made]
        lab.apply(udp(1, *targets, sticky=2, mask4=24))
        (first,) = answers(lab, 6)
        # A change, and even another balance, does not tear them away.
        lab.apply(udp(2, *targets, sticky=2, mask4=24, balance="least"))
        assert set(answers(lab, 6)) == {first}
        # Their member's end does.
        kept = [target for target in targets if target.name != first]
        lab.apply(udp(3, *kept, sticky=2, mask4=24))
        (second,) = answers(lab, 6)
        assert second != first
        # So does time.
        lab.apply(udp(4, *targets, sticky=1, mask4=24))
        eventually(lambda: len(set(_after(lab, 1.3, 3))) > 1, 30)


def _after(lab: Lab, seconds: float, count: int) -> Iterator[str]:
    for _ in range(count):
        time.sleep(seconds)  # for the packet filter to forget
        yield ask(lab)


def test_only_allowed_clients(lab: Lab) -> None:
    with echoes(lab, 1) as (one,):
        lab.apply(udp(1, one.target, allowed=("192.0.2.0/24",)))
        assert ask(lab, times=1) == ""
        lab.apply(udp(2, one.target, allowed=("192.0.2.0/24", "10.78.0.0/24", "10.78.0.0/25")))
        assert ask(lab) == "m1"


def test_no_more_flows_than_the_limit(lab: Lab) -> None:
    with echoes(lab, 1) as (one,), ExitStack() as stack:
        lab.apply(udp(1, one.target, limit=3))
        clients = [stack.enter_context(Client(lab)) for _ in range(6)]
        assert Counter(client.ask(1) for client in clients) == {"m1": 3, "": 3}
        # A change does not forget those that are there.
        lab.apply(udp(2, one.target, limit=3, balance="least"))
        assert ask(lab, times=1) == ""


def test_nothing_else_is_forwarded(lab: Lab) -> None:
    with echoes(lab, 1) as (one,):
        lab.apply(udp(1, one.target))
        assert ask(lab) == "m1"
        assert lab.in_amphora("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
        # What comes for somebody else, as if the amphora were a router, goes nowhere.
        lab.in_amphora("sh", "-c", "ip neigh show >/dev/null")
        rules = lab.in_amphora("nft", "list", "chain", "inet", "hydria_datagram", "forward")
        assert "policy drop" in rules
        lab.apply(DesiredState(2, interfaces=(ETH1,)))
        assert lab.in_amphora("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "0"
        assert lab.in_amphora("cat", "/proc/sys/net/ipv6/conf/all/forwarding").strip() == "0"
        assert ask(lab, times=1) == ""


def test_counters_and_flows_are_told(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two):
        lab.apply(udp(1, one.target, two.target))
        assert sum(answers(lab, 5).values()) == 5
        told = lab.heartbeat(
            lambda report: LISTENER in report.listeners and report.listeners[LISTENER].total_connections == 5
        ).listeners[LISTENER]
        assert told.status == "OPEN"
        assert told.active_connections == 5
        assert told.bytes_in >= 5 * 29
        assert told.bytes_out > told.bytes_in
        # They never go back: not for a change, nor while the listener is off for a while.
        lab.apply(udp(2, one.target))
        lab.apply(DesiredState(3, interfaces=(ETH1,)))
        lab.apply(udp(4, one.target))
        assert ask(lab) == "m1"
        lab.heartbeat(
            lambda report: LISTENER in report.listeners and report.listeners[LISTENER].total_connections == 6
        )


def test_both_ways_to_see_flows_see_the_same(lab: Lab) -> None:
    """The kernel's list and netlink: of the amphora, in its namespace."""
    look = """
from hydria.amphora import conntrack
marks = conntrack.count()
listed = marks, sorted(conntrack._udp(marks))
conntrack._FEW = -1
assert conntrack._listed() is None
assert listed == (conntrack.count(), sorted(conntrack._udp(marks))), listed
print(sorted(marks.values()), len(listed[1]))
"""
    with echoes(lab, 1) as (one,), echoes(lab, 1, OUTSIDE6) as (other,):
        lab.apply(udp(1, one.target, other.target))
        assert answers(lab, 5) == {"m1": 5}
        assert answers(lab, 3, vip=VIP6) == {"m1": 3}
        assert lab.in_amphora(sys.executable, "-c", look).strip() == "[8] 8"


def test_an_agent_that_starts_again_goes_on(lab: Lab) -> None:
    with echoes(lab, 2) as (one, two), Client(lab) as client:
        lab.apply(udp(1, one.target, two.target, probe=PROBE))
        before = client.ask()
        epoch = lab.heartbeat(lambda report: LISTENER in report.listeners).epoch
        agent = lab.agent_pid()
        os.kill(agent, signal.SIGKILL)
        eventually(lambda: lab.agent_pid() not in (0, agent))
        report = lab.heartbeat(lambda report: report.epoch != epoch and LISTENER in report.listeners)
        assert report.listeners[LISTENER].total_connections == 0  # a new epoch counts anew
        assert client.ask() == before
        one.close()
        lab.heartbeat(lambda report: report.members.get("m1") == "DOWN")
        assert answers(lab, 4) == {"m2": 4}


@pytest.mark.parametrize(
    "service",
    [
        Service("x; flush ruleset", "", "udp", (VIP,), 53, ()),
        Service(LISTENER, "", "tcp", (VIP,), 53, ()),
        Service(LISTENER, "", "udp", ("10.0.0.1 }",), 53, ()),
        Service(LISTENER, "", "udp", (VIP,), 0, ()),
        Service(LISTENER, "", "udp", (VIP,), 53, (), allowed=("0.0.0.0/0 }",)),
        Service(LISTENER, "", "udp", (VIP,), 53, (), balance="x"),
        Service(LISTENER, "", "udp", (VIP,), 53, (), mask4=33),
        Service(LISTENER, "", "udp", (VIP,), 53, (Target('m"', OUTSIDE, 1),)),
        Service(LISTENER, "", "udp", (VIP,), 53, (Target("m", "x", 1),)),
        Service(LISTENER, "", "udp", (VIP,), 53, (Target("m", OUTSIDE, 1, weight=257),)),
        Service(LISTENER, "", "udp", (VIP,), 53, (), probe=Probe("TCP", 1, 1, 0, 1)),
        Service(LISTENER, "", "udp", (VIP,), 53, (), probe=Probe("HTTP", 1, 1, 1, 1, path="/\r\nX: y")),
    ],
)
def test_what_is_no_service_is_refused(lab: Lab, service: Service) -> None:
    body = agent_lab.encode(DesiredState(1, interfaces=(ETH1,), services=(service,)))
    assert lab.request("PUT", "/v1/state", body)[0] == 400


# --- Members that see their clients


APART, APART6 = "10.78.0.7", "fd78::7"
CLIENT, CLIENT6 = "192.0.2.9", "2001:db8::9"


@pytest.fixture
def apart(lab: Lab) -> Iterator[str]:
    """A namespace for members on the VIP network, whose way to clients is the VIP; clients are farther away."""
    outside = lab.namespace.removesuffix("-a") + "-o"
    name = lab.namespace.removesuffix("-a") + "-m"

    def ip(line: str) -> None:
        subprocess.run(["ip", *line.split()], check=True, timeout=10)

    ip(f"netns add {name}")
    try:
        ip(f"-n {outside} link add apart link out1 type macvlan mode bridge")
        ip(f"-n {outside} link set apart netns {name} name eth0")
        ip(f"-n {name} link set eth0 up")
        for address, length, client, vip in ((APART, 24, CLIENT, VIP), (APART6, 64, CLIENT6, VIP6)):
            dad = "nodad" if ":" in address else ""
            ip(f"-n {name} addr add {address}/{length} dev eth0 {dad}")
            family = "-6" if ":" in address else "-4"
            ip(f"{family} -n {name} route add default via {vip} table 100")
            ip(f"{family} -n {name} rule add ipproto udp sport 1024-65534 lookup 100")
            ip(f"-n {outside} addr add {client} dev lo {dad}")
        yield name
    finally:
        ip(f"netns del {name}")


@pytest.mark.parametrize(
    ("vip", "address", "source"),
    [(VIP, APART, CLIENT), (VIP6, APART6, CLIENT6), (VIP, APART, OUTSIDE), (VIP6, APART6, OUTSIDE6)],
    ids=["ipv4", "ipv6", "ipv4 of the same subnet", "ipv6 of the same subnet"],
)
def test_members_that_see_their_clients(lab: Lab, apart: str, vip: str, address: str, source: str) -> None:
    there = Outside(apart)
    with ExitStack() as stack:
        stack.callback(there.close)
        one, two = (Echo(there, name, address) for name in ("m1", "m2"))
        stack.callback(two.close)
        stack.callback(one.close)

        def seen(client: Client) -> str:
            client.socket.send(b"?")
            return client.socket.recv(100).decode()

        lab.apply(udp(1, one.target, preserve=True))
        client = stack.enter_context(Client(lab, vip, source=source))
        client.socket.settimeout(10)
        assert seen(client) == f"m1 {source}"
        # It goes on so: nobody tells the member of a shorter way, on which the answer would not be the VIP's.
        for _ in range(20):
            assert seen(client) == f"m1 {source}"
        answer = ["route", "get", source, "ipproto", "udp", "sport", str(one.target.port)]
        way = subprocess.check_output(["ip", "-n", apart, *answer], text=True)
        assert f"via {vip}" in way
        assert "redirected" not in way
        # Answers under way arrive here, too.
        one.asked.clear()
        one.may_answer.clear()
        client.socket.send(b"?")
        assert one.asked.wait(10)
        lab.apply(udp(2, two.target, preserve=True))
        one.may_answer.set()
        assert client.socket.recv(100).decode() == f"m1 {source}"
        assert seen(client) == f"m2 {source}"
        # A change leaves flows as they are; new ones come from the amphora.
        lab.apply(udp(3, two.target))
        assert seen(client) == f"m2 {source}"
        with Client(lab, vip, source=source) as other:
            other.socket.settimeout(10)
            own = [each.partition("/")[0] for each in ETH1.addresses]
            assert seen(other).removeprefix("m2 ") in own


# --- SCTP, spoken by programs of their own, for kernels without it


SCTP = Path("/usr/lib/usrsctp")


@pytest.fixture
def far(lab: Lab) -> Iterator[str]:
    """A member's namespace, a hop away, with one address: SCTP may answer from any that it has."""
    name = lab.namespace.removesuffix("-a") + "-f"
    outside = lab.namespace.removesuffix("-a") + "-o"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, timeout=10)

    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "far0", "netns", outside)
        run("ip", "-n", name, "addr", "add", "10.79.0.2/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", outside, "addr", "add", "10.79.0.1/24", "dev", "far0")
        run("ip", "-n", outside, "link", "set", "far0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", "10.79.0.1")
        run("ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield name
    finally:
        run("ip", "netns", "del", name)


def test_sctp(lab: Lab, far: str) -> None:
    outside = lab.namespace.removesuffix("-a") + "-o"
    target = Target("m1", "10.79.0.2", 7)
    service = Service(LISTENER, POOL, "sctp", (VIP,), 7777, (target,), limit=5, sticky=60)
    lab.apply(DesiredState(1, interfaces=(ETH1,), services=(service,)))
    with subprocess.Popen(
        ["ip", "netns", "exec", far, SCTP / "echo_server"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            assert eventually(lambda: "hello" in sctp_echo(outside, "hello"), 30)
        finally:
            server.kill()


def test_sctp_members_that_see_their_clients(lab: Lab, apart: str) -> None:
    outside = lab.namespace.removesuffix("-a") + "-o"
    # What speaks SCTP here writes whole packets, which no rule tells apart: all goes by the VIP.
    ways = f"route add {VIP} dev eth0", f"route add default via {VIP}", "route del 10.78.0.0/24"
    for line in (*ways, "-6 addr flush dev eth0"):
        subprocess.run(["ip", "-n", apart, *line.split()], check=True, timeout=10)
    services = [
        Service(LISTENER, POOL, "sctp", (VIP,), 7777, (Target("m1", APART, 7),), preserve=preserve)
        for preserve in (True, False)
    ]
    lab.apply(DesiredState(1, interfaces=(ETH1,), services=services[:1]))
    with subprocess.Popen(
        ["ip", "netns", "exec", apart, "stdbuf", "-oL", SCTP / "echo_server"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        try:
            assert eventually(lambda: "hello" in sctp_echo(outside, "hello"), 30)
            lab.apply(DesiredState(2, interfaces=(ETH1,), services=services[1:]))
            assert eventually(lambda: "later" in sctp_echo(outside, "later"), 30)
        finally:
            server.kill()
        assert server.stdout
        seen = re.findall(r"Msg .* received from ::ffff:(\S+):\d+ on", server.stdout.read())
    own = {each.partition("/")[0] for each in ETH1.addresses}
    assert seen[0] == OUTSIDE
    assert seen[-1] in own


def sctp_echo(namespace: str, text: str) -> str:
    """What an SCTP client gets back from the VIP within a moment."""
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, "stdbuf", "-oL", SCTP / "client", VIP, "7777"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        try:
            client.stdin.write(f"{text}\n")
            client.stdin.flush()
            time.sleep(1)  # the program says nothing about when it is done
        finally:
            client.kill()
        return client.stdout.read() if client.stdout else ""
