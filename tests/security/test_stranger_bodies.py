"""Somebody whom nobody knows sends bodies and requests without end, fast or drop by drop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.api import serve
from hydria.settings import ApiSettings, Settings
from tests.databases import new_store
from tests.security.api_lab import answer, connected, is_over, wait_until
from tests.unit.api_reading import Api


@pytest.fixture
def server(tmp_path: Path) -> Iterator[serve.Server]:
    server = serve.Server(
        Api(new_store(tmp_path)).client.app, Settings(api_settings=ApiSettings(bind_port=0))
    )
    server.start()
    yield server
    server.stop()


def test_chunks_without_end_are_refused(server: serve.Server) -> None:
    client = connected(server.port)
    client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + b" " * 16384 + b"\r\n"
    sent = 0
    with pytest.raises(OSError):  # noqa: PT012  (reset, or a pipe that is broken)
        while sent < 10_000_000:
            client.sendall(chunk)
            sent += len(chunk)
    assert sent < 10_000_000


@pytest.mark.parametrize("drop", [b"X-A: b\r\n", b"x"])
def test_requests_have_their_time_as_wholes(
    server: serve.Server, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_REQUEST_SECONDS", 2.0)
    client = connected(server.port)
    end = b"" if drop.endswith(b"\n") else b"Content-Length: 9999\r\n\r\n"
    client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: localhost\r\n" + end)
    assert is_over(client, lambda: client.sendall(drop))


def test_who_says_nothing_has_a_time_too(server: serve.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_IDLE_SECONDS", 2.0)
    client = connected(server.port)
    assert is_over(client)
    client = connected(server.port)
    assert is_over(client, lambda: client.sendall(b"\r\n"))  # nor do empty lines count


def test_who_goes_on_asking_is_served_on(server: serve.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_IDLE_SECONDS", 1.5)
    monkeypatch.setattr(serve, "_REQUEST_SECONDS", 1.5)
    client = connected(server.port)
    for _ in range(4):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(client)[0] == 200
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)


def test_who_does_not_read_has_a_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(_environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "8000000")])  # type: ignore[operator]
        return [b"x" * 8_000_000]

    monkeypatch.setattr(serve, "_ANSWER_SECONDS", 2.0)
    server = serve.Server(app, Settings(api_settings=ApiSettings(bind_port=0)))  # type: ignore[arg-type]
    server.start()
    try:
        client = connected(server.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: not server._channels() or not client.recv(1000))
        assert not server._channels()
    finally:
        server.stop()
