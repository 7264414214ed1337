"""What members get and how they are probed, beyond plain HTTP and TCP: seen on the wire."""

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hydria.model.health_monitor import HealthMonitor
from hydria.model.statuses import Algorithm, ListenerProtocol, MonitorType, PoolProtocol
from hydria.testing.trees import LISTENER, POOL, listener, load_balancer, member, monitor, pool, tree
from tests import certificates
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import eventually, get

pytestmark = pytest.mark.node

Handler = Callable[[socket.socket], None]
PREFACE = b"\r\n\r\n\0\r\nQUIT\n"  # of the PROXY protocol, version 2


@contextmanager
def serving(handler: Handler) -> Iterator[int]:
    """A TCP server on loopback; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(5)
                        handler(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def served(port: int, protocol: ListenerProtocol, of_pool: PoolProtocol, *members: int, **more: object):
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, protocol=protocol, default_pool_id=POOL),
        pool(protocol=of_pool, **more),
        *(member(n, address="127.0.0.1", protocol_port=each) for n, each in enumerate(members, 1)),
    )


def answer(connection: socket.socket) -> bytes:
    """Read until a request or a line has come, answer it as HTTP; what came."""
    seen = b""
    while b"GET" not in seen:
        got = connection.recv(4096)
        if not got:
            return seen
        seen += got
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    return seen


@pytest.mark.parametrize("protocol", [ListenerProtocol.HTTP, ListenerProtocol.TCP])
@pytest.mark.parametrize("version", [PoolProtocol.PROXY, PoolProtocol.PROXYV2])
def test_members_learn_who_the_client_is(proxy, protocol, version):
    port, seen = lab.free_port(), []
    with serving(lambda connection: seen.append(answer(connection))) as at:
        proxy.serve(served(port, protocol, version, at))
        with socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.9", 0)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            source = client.getsockname()
        eventually(lambda: seen)
        if version is PoolProtocol.PROXY:
            words = seen[0].split(b"\r\n")[0].decode().split()
            assert words == ["PROXY", "TCP4", "127.0.0.9", "127.0.0.1", str(source[1]), str(port)]
        else:
            assert seen[0].startswith(PREFACE)
            header = seen[0][len(PREFACE) :]
            assert header[:2] == b"\x21\x11"  # version 2, PROXY; TCP over IPv4
            assert socket.inet_ntoa(header[4:8]) == "127.0.0.9"
            assert int.from_bytes(header[8 + 4 : 8 + 6]) == source[1]


def test_source_ip_port_spreads_the_connections_of_one_client(proxy):
    port = lab.free_port()
    with lab.web_servers(2) as webs:
        ports = [web.port for web in webs]
        algorithm = Algorithm.SOURCE_IP_PORT
        proxy.serve(served(port, ListenerProtocol.HTTP, PoolProtocol.HTTP, *ports, lb_algorithm=algorithm))
        assert set(Counter(get(port).member for _ in range(40))) == {web.name for web in webs}
        # The same address and port is the same member, every time.
        for _ in range(3):
            first, second = (from_port(port) for _ in range(2))
            assert first == second


def from_port(port: int) -> str:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no TIME_WAIT
        client.bind(("127.0.0.11", 40_123))
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile().read().rpartition("\n")[2].split('"')[3]


def tls_handler(certificate: Path, names: list[str | None]) -> Handler:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _connection, name, _context: names.append(name)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            answer(encrypted)

    return handle


def status(proxy: lab.Proxy, number: int) -> tuple[str, str]:
    row = proxy.statistics()[f"{POOL}:{LISTENER}/{member(number).id}"]
    return row["status"], row["check_status"]


@pytest.mark.parametrize(
    ("probe", "checked", "fault"),
    [
        (monitor(type=MonitorType.TLS_HELLO, delay=1, timeout=1, max_retries_down=1), "L6OK", "L6"),
        (
            monitor(
                type=MonitorType.HTTPS,
                delay=1,
                timeout=1,
                max_retries_down=1,
                http_version=1.1,
                domain_name="www.example.org",
            ),
            "L7OK",
            "L6",
        ),
    ],
    ids=["TLS-HELLO", "HTTPS"],
)
def test_monitors_over_tls_really_shake_hands(
    proxy, tmp_path, probe: HealthMonitor, checked: str, fault: str
):
    certificate = certificates.make("www.example.org").file(tmp_path, "server.pem")
    names: list[str | None] = []
    with (
        serving(tls_handler(certificate, names)) as speaks_tls,
        serving(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as speaks_not,
    ):
        of = served(lab.free_port(), ListenerProtocol.HTTPS, PoolProtocol.HTTPS, speaks_tls, speaks_not)
        proxy.serve(tree(of.load_balancer, *of.children(), probe))
        eventually(lambda: status(proxy, 1) == ("UP", checked))
        eventually(lambda: status(proxy, 2)[0] == "DOWN")
        assert status(proxy, 2)[1].startswith(fault)
        assert set(names) == {probe.domain_name}
