"""UDP through an amphora: real datagrams from a client on the outside to servers on the outside."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from hydria.wire.state import DesiredState, Probe, Service, Target
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, VIP6, Lab, eventually, server, state
from tests.node.datagram_lab import (
    LISTENER,
    OUTSIDE,
    OUTSIDE6,
    POOL,
    Client,
    answers,
    ask,
    changed,
    echoes,
    udp,
)

pytestmark = pytest.mark.node

PROBE = Probe("UDP-CONNECT", delay=1, timeout=1, rise=1, fall=1)


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
listed = marks, sorted(conntrack.flows(marks))
conntrack._FEW = -1
assert conntrack._listed() is None
assert listed == (conntrack.count(), sorted(conntrack.flows(marks))), listed
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
