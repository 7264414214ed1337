"""What has passed is counted while it passes: connections of brokers and WebSockets last for days."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from hydria.model.statuses import ListenerProtocol
from hydria.testing.trees import POOL, listener, load_balancer, member, pool, tree
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import eventually

pytestmark = pytest.mark.node

BODY = 1 << 20
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {2 * BODY}\r\n\r\n".encode()
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def half_answers() -> Iterator[int]:
    """A member that sends one half of its answers and waits; its port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection = stack.enter_context(server.accept()[0])
                connection.recv(4096)
                connection.sendall(HEAD + bytes(BODY))

    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_bytes_of_connections_that_last(proxy):
    ports = dict(zip((ListenerProtocol.HTTP, ListenerProtocol.TCP), lab.free_ports(2), strict=True))
    fronts = [
        listener(number, protocol=protocol, protocol_port=port, default_pool_id=POOL)
        for number, (protocol, port) in enumerate(ports.items(), 1)
    ]
    with half_answers() as at, ExitStack() as stack:
        served = member(address="127.0.0.1", protocol_port=at)
        proxy.serve(tree(load_balancer(vip_address="127.0.0.1"), *fronts, pool(), served))
        for port in ports.values():
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            client.sendall(REQUEST)
            received = 0
            while received < BODY:
                received += len(client.recv(BODY))

        def counted() -> bool:
            rows = proxy.statistics()
            return all(
                int(rows[name]["bin"]) >= len(REQUEST) and int(rows[name]["bout"]) >= BODY
                for front in fronts
                for name in (
                    f"{front.id}/FRONTEND",
                    f"{POOL}:{front.id}/BACKEND",
                    f"{POOL}:{front.id}/{served.id}",
                )
            )

        eventually(counted, 20)
        rows = proxy.statistics()
        assert [rows[f"{front.id}/FRONTEND"]["scur"] for front in fronts] == ["1", "1"]
