"""Flow logs and the agent's log, as receivers on the LB network get them."""

import http.client
import os
import random
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hydria.dataplane import Tuning, desired_state
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.statuses import ClientAuthentication, ListenerProtocol, PoolProtocol
from hydria.model.tree import Tree
from hydria.testing.trees import (
    BALANCER,
    POOL,
    PROJECT,
    identifier,
    listener,
    load_balancer,
    member,
    pool,
    tree,
)
from hydria.wire.logs import Syslog
from hydria.wire.state import DesiredState
from tests import certificates
from tests.node import agent_lab
from tests.node.agent_lab import AMPHORA_ID, ETH1, LB_NETWORK, VIP, VIP_NETWORK, Lab, eventually
from tests.node.dataplane_lab import CAPABILITIES

pytestmark = pytest.mark.node

HTTP, TCP = (identifier(Listener, number) for number in (1, 2))
STREAMS = identifier(type(pool()), 2)
# What is in front of a record (RFC 3164), and the record itself.
FLOW = re.compile(
    r"<(?P<priority>\d+)>\w{3} [ \d]\d [\d:]{8} (?P<host>\S+) haproxy\[\d+\]: "
    r"(?P<project>\S+) (?P<balancer>\S+) (?P<listener>\S+) (?P<client>\S+) (?P<port>\d+) (?P<time>\S+) "
    r'(?P<request>"[^"]*"|-) (?P<status>\S+) (?P<read>\d+) (?P<uploaded>\d+) (?P<verified>\S+) "(?P<dn>[^"]*)" '
    r"(?P<backend>\S+) (?P<member>\S+) (?P<milliseconds>\d+) (?P<ending>\S{4})"
)


class Receiver:
    """A syslog receiver outside: what it has got, line by line."""

    def __init__(self, protocol: str, port: int = 0) -> None:
        self.lines: list[str] = []
        self._connections: list[socket.socket] = []
        if protocol == "UDP":
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((LB_NETWORK[0], port))
            self._run(self._datagrams)
        else:
            self._socket = socket.create_server((LB_NETWORK[0], port))
            self._run(self._accept)
        self.port = self._socket.getsockname()[1]
        self.target = f"{LB_NETWORK[0]}:{self.port}"

    @staticmethod
    def _run(what: object, *arguments: object) -> None:
        threading.Thread(target=what, args=arguments, daemon=True).start()

    def _datagrams(self) -> None:
        with suppress(OSError):
            while data := self._socket.recv(65536):
                self.lines.append(data.decode().rstrip("\n"))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                self._run(self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.lines.extend(line.rstrip("\n") for line in connection.makefile())

    def close(self) -> None:
        for each in (self._socket, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def flows(self, text: str = "") -> list[dict[str, str]]:
        found = [FLOW.fullmatch(line) for line in self.lines if text in line]
        return [each.groupdict() for each in found if each]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        running.member(8001)
        yield running


@pytest.fixture
def udp(lab: Lab) -> Iterator[Receiver]:
    made = lab.outside.run(lambda: Receiver("UDP"))
    yield made
    made.close()


@pytest.fixture
def tcp(lab: Lab) -> Iterator[list[Receiver]]:
    made = [lab.outside.run(lambda: Receiver("TCP")) for _ in range(2)]
    yield made
    for receiver in made:
        receiver.close()


def served(flow_logs: bool | None = None, **more: object) -> Tree:
    return tree(
        load_balancer(vip_address=VIP, flow_logs=flow_logs),
        listener(1, default_pool_id=POOL, **more),
        listener(2, protocol=ListenerProtocol.TCP, default_pool_id=STREAMS),
        pool(),
        pool(2, protocol=PoolProtocol.TCP),
        member(1, address=VIP_NETWORK[0], protocol_port=8001),
        member(2, address=VIP_NETWORK[0], protocol_port=8001, pool_id=STREAMS),
    )


def state(generation: int, *receivers: Receiver, protocol: str = "UDP", **more: object) -> DesiredState:
    targets = tuple(receiver.target for receiver in receivers)
    tenants = Syslog(targets, protocol, 0, retry_interval=1, retry_count=2)
    admins = replace(tenants, facility=1, keep=False)
    tuning = Tuning(default_connection_limit=200, tenant_logs=tenants, admin_logs=admins)
    return replace(
        desired_state(served(**more), (ETH1,), tuning, capabilities=CAPABILITIES), generation=generation
    )


def raw(lab: Lab, request: bytes) -> bytes:
    """The answer to a request that no well-behaved client makes."""

    def ask() -> bytes:
        with socket.create_connection((VIP, 80), 5) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    return lab.outside.run(ask)


def path(lab: Lab, name: str) -> None:
    def ask() -> None:
        connection = http.client.HTTPConnection(VIP, 80, timeout=5)
        connection.request("GET", f"/{name}")
        assert connection.getresponse().read() == b"8001"
        connection.close()

    lab.outside.run(ask)


def test_records_over_udp(lab: Lab, udp: Receiver) -> None:
    lab.apply(state(1, udp))
    path(lab, "a?b=c")
    lab.get(port=81)
    eventually(lambda: len(udp.flows()) == 2)
    by_listener = {flow["listener"]: flow for flow in udp.flows()}
    for flow in by_listener.values():
        assert flow["priority"] == str(16 * 8 + 6)
        assert (flow["host"], flow["project"]) == (f"amphora-{AMPHORA_ID}", PROJECT)
        assert (flow["balancer"], flow["client"]) == (BALANCER, VIP_NETWORK[0])
        assert flow["verified"] == "-"
        assert int(flow["read"]) > 0 < int(flow["uploaded"])
    web, stream = by_listener[HTTP], by_listener[TCP]
    assert (web["request"], web["status"]) == ('"GET /a?b=c HTTP/1.1"', "200")
    assert (web["backend"], web["member"]) == (f"{POOL}:{HTTP}", identifier(Member, 1))
    assert web["ending"] == "----"
    assert (stream["request"], stream["status"]) == ("-", "-")
    assert (stream["backend"], stream["member"]) == (f"{STREAMS}:{TCP}", identifier(Member, 2))


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_a_load_balancer_without_flow_logs(
    lab: Lab, udp: Receiver, tcp: list[Receiver], protocol: str
) -> None:
    receiver = udp if protocol == "UDP" else tcp[0]
    lab.apply(state(1, receiver, protocol=protocol, flow_logs=True))
    path(lab, "with")
    eventually(lambda: receiver.flows("/with"))
    assert lab.apply(state(2, receiver, protocol=protocol, flow_logs=False)).reloaded
    eventually(
        lambda: any("generation 2 applied" in line for line in receiver.lines)
    )  # the agent's log goes on
    path(lab, "without")
    lab.get(port=81)
    assert lab.apply(state(3, receiver, protocol=protocol)).reloaded
    path(lab, "again")
    eventually(lambda: receiver.flows("/again"))
    assert [flow["request"] for flow in receiver.flows()] == [
        '"GET /with HTTP/1.1"',
        '"GET /again HTTP/1.1"',
    ]


def test_nobody_writes_a_record_of_their_own(lab: Lab, udp: Receiver) -> None:
    lab.apply(state(1, udp))
    forged = b"<134>Jan  1 00:00:00 other haproxy[1]: forged"
    for name in (
        b'/"' + b"x",
        b"/\xff\xfe",
        b"/%0a" + forged.replace(b" ", b"%20"),
        b'/\\n\\"',
        b"/a%[hostname]%{+Q}r",
    ):
        raw(lab, b"GET " + name + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for line in (
        b"GET /\n" + forged,
        b"GET /\x00" + forged,
        b"\r\n" + forged,
        b"GET /\x1b[31m HTTP/1.1",
        forged,
    ):
        raw(lab, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    raw(lab, b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    guess = random.Random(1)
    pieces = (
        b'"',
        b"\\",
        b"'",
        b"%",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b"\x00",
        b"\x7f",
        b"\xff",
        b"<134>",
        b"a",
        b"{+Q}",
        b"#22",
    )
    for _ in range(300):
        name = b"".join(guess.choices(pieces, k=guess.randint(1, 12)))
        raw(lab, b"GET /" + name + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    path(lab, "end")
    eventually(lambda: udp.flows("/end"))
    records = [line for line in udp.lines if "amphora-agent" not in line]
    assert len(records) == len(udp.flows()) > 300, records
    assert all(line.isprintable() and line.isascii() for line in records)
    assert {flow["host"] for flow in udp.flows()} == {f"amphora-{AMPHORA_ID}"}
    assert {flow["project"] for flow in udp.flows()} == {PROJECT}


def test_the_name_in_a_clients_certificate(lab: Lab, udp: Receiver, tmp_path: Path) -> None:
    authority = certificates.make("Test CA", ca=True)
    hostile = certificates.make('me" 200 0 0 0 "\n<134>x\\', authority)
    (tmp_path / "visitor.pem").write_text(hostile.bundle)
    secrets = {"server": certificates.make("www.example.org", authority).bundle, "ca": authority.pem}
    of = served(
        protocol=ListenerProtocol.TERMINATED_HTTPS,
        default_tls_container_ref="server",
        client_ca_tls_container_ref="ca",
        client_authentication=ClientAuthentication.MANDATORY,
    )
    tuning = Tuning(default_connection_limit=200, tenant_logs=Syslog((udp.target,)))
    lab.apply(replace(desired_state(of, (ETH1,), tuning, secrets, capabilities=CAPABILITIES), generation=1))

    def ask() -> None:
        context = ssl.create_default_context(cadata=authority.pem)
        context.load_cert_chain(tmp_path / "visitor.pem")
        with (
            socket.create_connection((VIP, 80), 5) as plain,
            context.wrap_socket(plain, server_hostname="www.example.org") as connection,
        ):
            connection.sendall(b"GET /tls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"8001" in b"".join(iter(lambda: connection.recv(65536), b""))

    lab.outside.run(ask)
    eventually(lambda: udp.lines)
    assert udp.flows("/tls"), udp.lines
    (flow,) = udp.flows("/tls")
    assert flow["verified"] == "0"
    assert flow["dn"].startswith("/CN=me_ 200 0 0 0 __<134>x")
    assert len(udp.lines) == 1


def test_the_second_receiver_takes_over_and_gives_back(lab: Lab, tcp: list[Receiver]) -> None:
    first, second = tcp
    lab.apply(state(1, first, second, protocol="TCP"))
    path(lab, "one")
    eventually(lambda: first.flows("/one"))
    assert first.flows("/one")[0]["host"] == f"amphora-{AMPHORA_ID}"
    eventually(lambda: any("the log goes to" in line for line in first.lines))
    assert not second.lines
    first.close()
    numbers = iter(range(1000))

    def taken(by: Receiver) -> bool:
        path(lab, f"then-{next(numbers)}")
        return bool(by.flows("/then-"))

    eventually(lambda: taken(second))
    lab.apply(state(2, first, second, protocol="TCP"))
    eventually(lambda: any("generation 2 applied" in line for line in second.lines))
    back = lab.outside.run(lambda: Receiver("TCP", first.port))
    try:
        eventually(lambda: taken(back), 20)
    finally:
        back.close()


def test_records_of_a_process_that_retires_arrive(lab: Lab, tcp: list[Receiver]) -> None:
    first, _ = tcp
    lab.apply(state(1, *tcp, protocol="TCP"))
    path(lab, "before")
    eventually(lambda: first.flows("/before"))

    def begin() -> socket.socket:
        connection = socket.create_connection((VIP, 80), 5)
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n")
        return connection

    connection = lab.outside.run(begin)
    assert lab.apply(state(2, *tcp, protocol="TCP", timeout_client_data=40_000)).reloaded
    connection.sendall(b"Connection: close\r\n\r\n")
    assert b"8001" in b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    path(lab, "after")
    eventually(lambda: first.flows("/after"))
    eventually(lambda: first.flows("/long"))
    assert len(first.flows("/long")) == 1
    # Though the receiver does not hang up.
    eventually(lambda: len(lab.haproxy_pids()) == 1)


def test_the_agents_log(lab: Lab, udp: Receiver) -> None:
    lab.apply(state(1, udp))
    eventually(lambda: any("the log goes to" in line for line in udp.lines))
    lab.apply(state(2, udp, timeout_client_data=40_000))
    eventually(lambda: any("generation 2 applied" in line for line in udp.lines))
    (line,) = [line for line in udp.lines if "generation 2 applied" in line]
    start = f"<{17 * 8 + 5}>"
    assert re.fullmatch(
        re.escape(start)
        + rf"\w{{3}} [ \d]\d [\d:]{{8}} amphora-{AMPHORA_ID} amphora-agent\[\d+\]: agent: .*",
        line,
    )
    assert "generation 2 applied" not in lab.log  # it is not to be kept
    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(
        lambda: any("took over HAProxy" in line for line in udp.lines) or "took over HAProxy" in lab.log
    )
    quiet = replace(state(3, udp), logs=None)
    eventually(lambda: agent_lab.answers(lab))
    lab.apply(quiet)
    eventually(lambda: "nowhere else" in lab.log)


def test_receivers_that_are_away_disturb_nothing(lab: Lab, tcp: list[Receiver]) -> None:
    for receiver in tcp:
        receiver.close()
    lab.apply(state(1, *tcp, protocol="TCP"))
    began = time.monotonic()
    for number in range(200):
        path(lab, str(number))
    assert time.monotonic() - began < 10
    report = lab.heartbeat(lambda report: report.generation == 1 and HTTP in report.listeners)
    assert set(report.listeners) == {HTTP, TCP}
    assert set(report.members) == {identifier(Member, 1), identifier(Member, 2)}
