"""An agent that never comes to an end costs its controller neither memory nor time."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hydria.drivers.amphora import connections
from tests import certificates

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def agent(directory: Path, talk: Callable[[ssl.SSLSocket], None]) -> Iterator[connections.Connection]:
    """A connection to an agent that reads a request and then talks."""
    made = certificates.make("agent")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made.file(directory, "agent.pem"))
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE

    def serve() -> None:
        with suppress(OSError), serving.wrap_socket(listening.accept()[0], server_side=True) as client:
            client.recv(65536)
            talk(client)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        address = listening.getsockname()
        connection = connections.Connection("agent", address, asking, connect=10, handshake=10, silence=10)
        yield connection
        connection.close()


def endlessly(piece: bytes, pause: float) -> Callable[[ssl.SSLSocket], None]:
    def talk(client: ssl.SSLSocket) -> None:
        while True:
            client.sendall(piece)
            time.sleep(pause)

    return talk


@pytest.mark.parametrize("length", [b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_without_end_is_given_up(
    tmp_path: Path, length: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LONGEST_ANSWER", 100_000)

    def talk(client: ssl.SSLSocket) -> None:
        client.sendall(HEAD + length + b"\r\n")
        endlessly(b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 0)(client)

    with agent(tmp_path, talk) as connection:
        with pytest.raises(connections.Gone, match="longer than 100000 bytes"):
            connection.ask("GET", "/", b"", 60)
        assert not connection.open


@pytest.mark.parametrize("drop", [b"x", b"X-A: b\r\n"], ids=["body", "head"])
def test_an_answer_has_its_time_as_a_whole(tmp_path: Path, drop: bytes) -> None:
    def talk(client: ssl.SSLSocket) -> None:
        client.sendall(HEAD if b"\r\n" in drop else HEAD + b"Content-Length: 90000\r\n\r\n")
        endlessly(drop, 0.2)(client)

    began = time.monotonic()
    with agent(tmp_path, talk) as connection:
        with pytest.raises(TimeoutError):
            connection.ask("GET", "/", b"", 1.0)
        assert not connection.open
    assert time.monotonic() - began < 15  # a head of 100 lines would take 20


def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    def talk(client: ssl.SSLSocket) -> None:
        client.sendall(HEAD + b"Content-Length: 3\r\n\r\none")
        client.recv(65536)
        client.sendall(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\ntwo")

    with agent(tmp_path, talk) as connection:
        assert connection.ask("GET", "/", b"", 10) == (200, b"one")
        assert connection.open
        assert connection.ask("GET", "/", b"", 10) == (200, b"two")
        assert not connection.open
