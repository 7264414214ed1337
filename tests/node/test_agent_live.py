"""What changes in an amphora without another HAProxy process: who may connect, and how many."""

from __future__ import annotations

import dataclasses
import http.client
import os
import signal
import socket
import time
from contextlib import ExitStack, closing
from typing import Any

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.l7rule import L7Rule
from hydria.model.statuses import CompareType, RuleType
from hydria.testing.trees import POOL, RULE, listener, load_balancer, member, policy, pool, rule, tree
from hydria.wire.state import DesiredState, File
from tests.node import agent_lab
from tests.node.agent_lab import VIP, Lab, eventually, server, state
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

CLIENT, OTHER = "10.78.0.1", "192.0.2.1"
PORT = 81


def limited(generation: int, *networks: str, connections: int = 100, total: int = 50_000) -> DesiredState:
    """A state with a listener more, for clients from these networks."""

    def front(maxconn: int) -> str:
        rule = "tcp-request connection reject unless { src -f tls/more.acl }"
        return f"frontend more\n    bind {VIP}:{PORT}\n    maxconn {maxconn}\n    {rule}\n    http-request return status 200"

    made = state(generation, server(8001), extra=front(connections))
    text = made.haproxy.replace("maxconn 50000", f"maxconn {total}")
    structure = front(0)  # neither the limit nor the total is part of it
    files = (File("more.acl", "".join(f"{network}\n" for network in networks)),)
    return DesiredState(
        generation, made.interfaces, haproxy=text, structure=structure, servers=made.servers, files=files
    )


def served(lab: Lab) -> bool:
    def ask() -> bool:
        try:
            with socket.create_connection((VIP, PORT), 2) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    return lab.outside.run(ask)


def reachable(lab: Lab) -> bool:
    try:
        return lab.info()["generation"] == 1
    except OSError:
        return False


def at_a_time(lab: Lab, attempts: int) -> int:
    """How many of these connections are answered while all of them are open."""

    def ask() -> int:
        with ExitStack() as stack:
            made = [stack.enter_context(socket.create_connection((VIP, PORT), 2)) for _ in range(attempts)]
            answered = 0
            for each in made:
                each.settimeout(0.5)
                each.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    answered += bool(each.recv(100))
                except TimeoutError:
                    continue
            return answered

    return lab.outside.run(ask)


def test_replaced_processes_are_bounded_in_number(lab: Lab) -> None:
    """The lab's amphora may have three of them."""
    lab.member(8001)
    lab.apply(state(1, server(8001)))
    held = []
    try:
        for generation in range(2, 8):
            held.append(lab.outside.run(lambda: socket.create_connection((VIP, 80), timeout=10)))
            assert lab.apply(state(generation, server(8001), timeout=f"{30 + generation}s")).reloaded
        eventually(lambda: len(lab.haproxy_pids()) == 4)
        alive = [lab.outside.run(lambda one=one: answers(one)) for one in held]
        assert alive == [False] * 3 + [True] * 3, "the latest ones have theirs"
        assert "ended the oldest" in lab.log
    finally:
        for one in held:
            one.close()
    eventually(lambda: len(lab.haproxy_pids()) == 1)


def test_a_replaced_process_ends_in_time_with_connections_that_last(lab: Lab) -> None:
    lab.member(8001)
    states = [state(generation, server(8001), timeout=f"{30 + generation}s") for generation in (1, 2)]
    texts = [each.haproxy.replace("hard-stop-after 60s", "hard-stop-after 2s") for each in states]
    lab.apply(dataclasses.replace(states[0], haproxy=texts[0]))
    (first,) = lab.haproxy_pids()
    with lab.outside.run(lambda: socket.create_connection((VIP, 80), timeout=10)) as held:
        assert lab.apply(dataclasses.replace(states[1], haproxy=texts[1])).reloaded
        began = time.monotonic()
        assert held.recv(1) == b""
        assert 1 < time.monotonic() - began < 5
        eventually(lambda: first not in lab.haproxy_pids())


def answers(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def test_networks_of_clients_change_live(lab: Lab) -> None:
    assert lab.apply(limited(1, "0.0.0.0/0", "::/0")).reloaded
    pids = lab.haproxy_pids()
    assert served(lab)
    assert not lab.apply(limited(2, f"{OTHER}/32")).reloaded, lab.log
    assert not served(lab)
    assert not lab.apply(limited(3, f"{OTHER}/32", f"{CLIENT}/32", "2001:db8::/32")).reloaded, lab.log
    assert served(lab)
    assert lab.haproxy_pids() == pids
    # It is what the next process has, too.
    lab.apply(limited(4, f"{OTHER}/32"))
    (pid,) = lab.haproxy_pids()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - {pid} and agent_lab.answers(lab))
    assert not served(lab)


def test_connection_limits_change_live(lab: Lab) -> None:
    assert lab.apply(limited(1, "0.0.0.0/0", connections=2, total=100)).reloaded
    pids = lab.haproxy_pids()
    assert at_a_time(lab, 4) == 2
    assert not lab.apply(limited(2, "0.0.0.0/0", connections=4, total=100)).reloaded, lab.log
    assert at_a_time(lab, 4) == 4
    assert not lab.apply(limited(3, "0.0.0.0/0", connections=1, total=50)).reloaded, lab.log
    assert at_a_time(lab, 4) == 1
    assert lab.haproxy_pids() == pids
    assert lab.apply(limited(4, "0.0.0.0/0", connections=4, total=101)).reloaded, (
        "a process cannot carry more in all than it was started for"
    )
    assert at_a_time(lab, 4) == 4


@pytest.mark.parametrize("raised", [False, True])
def test_a_burst_beyond_the_connection_limit_waits_and_loses_nothing(lab: Lab, *, raised: bool) -> None:
    """A SYN that finds the queue full would be repeated after a second only."""

    def apply(generation: int, most: int) -> bool:
        wanted = tree(
            load_balancer(vip_address=VIP),
            listener(1, protocol_port=80, connection_limit=most),
            listener(2, protocol_port=81, connection_limit=200 - most),
        )
        rendered = desired_state(wanted, (agent_lab.ETH1,), Tuning(), capabilities=CAPABILITIES)
        return lab.apply(dataclasses.replace(rendered, generation=generation)).reloaded

    apply(1, 2)
    if raised:
        assert not apply(2, 100), lab.log

    def burst() -> float:
        with ExitStack() as stack:
            began = time.monotonic()
            for _ in range(60):
                stack.enter_context(socket.create_connection((VIP, 80), 5))
            return time.monotonic() - began

    assert lab.outside.run(burst) < 0.9


def policed(generation: int, *rules: L7Rule) -> DesiredState:
    """What matches all rules is forbidden."""
    wanted = tree(
        load_balancer(vip_address=VIP),
        listener(default_pool_id=POOL, protocol_port=80),
        pool(),
        member(address=CLIENT, protocol_port=8001),
        policy(),
        *rules,
    )
    rendered = desired_state(
        wanted, (agent_lab.ETH1,), Tuning(default_connection_limit=200), capabilities=CAPABILITIES
    )
    return dataclasses.replace(rendered, generation=generation)


def forbidden(lab: Lab, path: str = "/", host: str = "x", **headers: str) -> bool:
    def ask() -> int:
        with closing(http.client.HTTPConnection(VIP, 80, timeout=5)) as connection:
            connection.putrequest("GET", path, skip_host=True)
            for name, value in {"Host": host, **headers}.items():
                connection.putheader(name, value.encode())
            connection.endheaders()
            return connection.getresponse().status

    return {403: True, 200: False}[lab.outside.run(ask)]


def has_socket(lab: Lab) -> bool:
    """Whether HAProxy's runtime API answers: one that starts serves before its socket has its name."""
    try:
        return bool(lab.haproxy("show info"))
    except OSError:
        return False


def test_what_rules_compare_with_changes_live_under_load(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(policed(1, rule(value="/admin")))
    pids = lab.haproxy_pids()
    assert [forbidden(lab, path) for path in ("/admin/", "/secret/")] == [True, False]
    with agent_lab.Load(lab, keep_alive=4) as load:
        for generation in range(2, 12, 2):
            assert not lab.apply(policed(generation, rule(value="/secret"))).reloaded, lab.log
            assert [forbidden(lab, path) for path in ("/admin/", "/secret/")] == [False, True]
            assert not lab.apply(policed(generation + 1, rule(value="/admin"))).reloaded, lab.log
            assert [forbidden(lab, path) for path in ("/admin/", "/secret/")] == [True, False]
    assert load.failures == []
    assert load.good > 20
    assert lab.haproxy_pids() == pids
    (pid,) = pids
    assert not lab.apply(policed(20, rule(value="/secret"))).reloaded
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - pids and agent_lab.answers(lab))
    eventually(lambda: has_socket(lab))
    assert [forbidden(lab, path) for path in ("/admin/", "/secret/")] == [False, True]


def test_every_kind_of_rule_takes_another_value_live(lab: Lab) -> None:
    """Two values each, and for each of them a request that only it matches."""
    lab.member(8001)
    header = {"key_name": "x-test"}
    cases: list[tuple[RuleType, dict[str, Any], tuple[str, str], tuple[dict[str, str], dict[str, str]]]] = [
        (
            RuleType.HOST_NAME,
            {},
            ("A.example", "b.example"),
            ({"host": "a.example:80"}, {"host": "B.example"}),
        ),
        (RuleType.PATH, {}, ("/a", "/b;c"), ({"path": "/a"}, {"path": "/b;c"})),
        (RuleType.FILE_TYPE, {}, ("jpg", ".png"), ({"path": "/a.jpg"}, {"path": "/a.png"})),
        (RuleType.HEADER, header, ("one", '"#two words;"'), ({"x-test": "one"}, {"x-test": "#two words;"})),
        (RuleType.COOKIE, {"key_name": "c"}, ("1", "#<<"), ({"cookie": "c=1"}, {"cookie": "c=#<<"})),
        (RuleType.QUERY, {"key_name": "q"}, ("1", '"a b"'), ({"path": "/?q=1"}, {"path": "/?q=a+b"})),
        (RuleType.SOURCE_IP, {}, (f"{CLIENT}/32", "192.0.2.0/24"), ({}, {})),
    ]
    generation = 0
    for kind, more, values, requests in cases:
        more |= {"type": kind, "compare_type": CompareType.EQUAL_TO}
        for turn, value in enumerate((*values, *values), start=1):
            generation += 1
            applied = lab.apply(policed(generation, rule(value=value, **more)))
            assert applied.reloaded is (turn == 1), (kind, lab.log)
            seen = [forbidden(lab, **request) for request in requests]
            if kind is RuleType.SOURCE_IP:
                assert seen == [value == values[0]] * 2
            else:
                assert seen == [value == each for each in values], (kind, value)


@pytest.mark.parametrize("hostile", ["^/(a|#b) c;d$", r'^/\\"q\'', " #", "^/x<<", "^/\u00fc$", r"^\t|\x20/"])
def test_any_expression_is_the_same_from_the_file_and_by_command(lab: Lab, hostile: str) -> None:
    """HAProxy says itself what it understood."""

    def understood() -> str:
        (line,) = lab.haproxy(f"show acl tls/{RULE}.acl").strip("\n").splitlines()
        return line.partition(" ")[2]

    lab.member(8001)
    expression = {"compare_type": CompareType.REGEX}
    lab.apply(policed(1, rule(value=hostile, **expression)))
    from_file = understood()
    assert from_file == hostile.replace("\t", r"\t").replace(" #", r"\x20#")
    assert not lab.apply(policed(2, rule(value="^/other$", **expression))).reloaded
    assert understood() == "^/other$"
    assert not lab.apply(policed(3, rule(value=hostile, **expression))).reloaded, lab.log
    assert understood() == from_file


def test_an_expression_that_haproxy_does_not_understand_is_refused(lab: Lab) -> None:
    """Python's do not all mean something to it, too."""
    lab.member(8001)
    expression = {"compare_type": CompareType.REGEX}
    lab.apply(policed(1, rule(value="^/admin$", **expression)))
    pids = lab.haproxy_pids()
    status, applied = lab.put(policed(2, rule(value="^/(?P<a>x)(?(a)y|z|q)", **expression)))
    assert (status, applied.generation) == (422, 1)
    assert "regex" in applied.fault
    assert forbidden(lab, "/admin")
    assert not lab.apply(policed(3, rule(value="^/b$", **expression))).reloaded, lab.log
    assert forbidden(lab, "/b")
    assert pids


def test_an_agent_that_starts_again_goes_on_with_both(lab: Lab) -> None:
    lab.apply(limited(1, f"{CLIENT}/32", connections=2))
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: reachable(lab))
    assert served(lab)
    assert not lab.apply(limited(2, f"{OTHER}/32", connections=3)).reloaded, lab.log
    assert not served(lab)
