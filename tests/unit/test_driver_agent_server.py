"""The driver agent's sockets: who may use them, how many at a time, and what a client cannot do to others."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hydria.driver_agent.server import Limits, SocketServer
from hydria.model.errors import Conflict, Unavailable

LIMITS = Limits(seconds=2, most=4, warning=0.75)


def echo(body: bytes) -> bytes:
    return b'{"heard": %d}' % len(body)


def apology(text: str) -> bytes:
    return json.dumps({"sorry": text}).encode()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    servers: list[SocketServer] = []

    def start(answer: Callable[[bytes], bytes] = echo, limits: Limits = LIMITS, name: str = "s") -> Path:
        servers.append(SocketServer(name, tmp_path / f"{name}.sock", answer, limits, apology))
        servers[-1].start()
        return tmp_path / f"{name}.sock"

    yield start
    for server in servers:
        server.stop()
    assert not list(tmp_path.glob("*.sock")), "a stopped server takes its socket along"


def ask(path: Path, message: bytes = b"2\n{}", *, timeout: float = 5) -> bytes:
    """What comes back, to the end of the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        client.connect(str(path))
        client.sendall(message)
        received = b""
        with suppress(ConnectionResetError):  # the server has not read all that was sent
            while chunk := client.recv(65536):
                received += chunk
        return received


def test_each_connection_is_one_request(serve: Callable[..., Path]) -> None:
    path = serve()
    assert [ask(path) for _ in range(10)] == [b'12\n{"heard": 2}'] * 10
    assert path.stat().st_mode & 0o777 == 0o660


def test_garbage_is_answered_and_harms_nobody(serve: Callable[..., Path]) -> None:
    path = serve()
    assert b"sorry" in ask(path, b"GET / HTTP/1.1\r\n\r\n")
    assert b"split it" in ask(path, b"9999999999\n")
    assert ask(path) == b'12\n{"heard": 2}'


def test_a_request_that_fails_is_answered_without_what_went_wrong(serve: Callable[..., Path]) -> None:
    def fail(body: bytes) -> bytes:
        raise RuntimeError("password=secret")

    answer = ask(serve(fail))
    assert b"RuntimeError" in answer
    assert b"secret" not in answer


def test_silent_clients_do_not_keep_others_out_for_long(serve: Callable[..., Path]) -> None:
    path = serve(limits=Limits(seconds=0.3, most=2, warning=2))
    silent = []
    try:
        for _ in range(6):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(str(path))
            silent.append(client)
        assert ask(path) == b'12\n{"heard": 2}'
    finally:
        for client in silent:
            client.close()


def test_no_more_are_served_at_a_time_than_configured(
    serve: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    going, most, guard, release = 0, 0, threading.Lock(), threading.Event()

    def slow(body: bytes) -> bytes:
        nonlocal going, most
        with guard:
            going += 1
            most = max(most, going)
        release.wait(10)
        with guard:
            going -= 1
        return b"{}"

    path = serve(slow)
    clients = [threading.Thread(target=ask, args=(path,)) for _ in range(12)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 10
    while going < LIMITS.most and time.monotonic() < deadline:
        time.sleep(0.01)
    release.set()
    for client in clients:
        client.join()
    assert most == LIMITS.most
    assert "3 of 4 requests at a time are being served" in caplog.text


def test_what_a_killed_agent_left_is_replaced_and_a_living_one_is_not(
    serve: Callable[..., Path], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "s.sock"))
        dead.listen()
    path = serve()
    assert ask(path) == b'12\n{"heard": 2}'
    with pytest.raises(Conflict, match="Another driver agent listens on"):
        serve()
    assert ask(path) == b'12\n{"heard": 2}'


def test_a_path_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = SocketServer("status", tmp_path / "file" / "s.sock", echo, LIMITS)
    with pytest.raises(Unavailable, match="status_socket_path"):
        server.start()
    server.stop()


def test_a_path_may_be_longer_than_addresses_of_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    server = SocketServer("s", deep / "s.sock", echo, LIMITS)
    server.start()
    handle = os.open(deep, os.O_PATH)
    try:
        assert ask(Path(f"/proc/self/fd/{handle}/s.sock")) == b'12\n{"heard": 2}'
    finally:
        os.close(handle)
        server.stop()


def test_without_an_apology_the_client_hears_at_once_that_there_is_no_answer(tmp_path: Path) -> None:
    def fail(body: bytes) -> bytes:
        raise RuntimeError

    server = SocketServer("s", tmp_path / "s.sock", fail, LIMITS)
    server.start()
    try:
        assert ask(tmp_path / "s.sock") == b"failed\n"
    finally:
        server.stop()
