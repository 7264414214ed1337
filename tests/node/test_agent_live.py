"""What changes in an amphora without another HAProxy process: who may connect, and how many."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hydria.wire.state import DesiredState, File
from tests.node import agent_lab
from tests.node.agent_lab import VIP, Lab, eventually, server, state

pytestmark = pytest.mark.node

CLIENT, OTHER = "10.78.0.1", "192.0.2.1"
PORT = 81


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        yield running


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


def test_an_agent_that_starts_again_goes_on_with_both(lab: Lab) -> None:
    lab.apply(limited(1, f"{CLIENT}/32", connections=2))
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: reachable(lab))
    assert served(lab)
    assert not lab.apply(limited(2, f"{OTHER}/32", connections=3)).reloaded, lab.log
    assert not served(lab)
