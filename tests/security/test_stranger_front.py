"""What strangers reach is HAProxy: idle, slow and many connections keep nobody waiting, and nobody lies about himself."""

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.api import front, front_config, serve
from hydria.model.errors import Unavailable
from hydria.store import Store
from tests.databases import new_store
from tests.node.test_api_http_basic import LIST, Served, certify, options
from tests.security.api_lab import Answer, answer, connected, is_over, wait_until

pytestmark = pytest.mark.node


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def api(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(front_config, "REQUEST_SECONDS", 3)
    api = Served(tmp_path, store)
    yield api
    api.server.stop()


def over_tls(api: Served, source: str = "127.0.0.1") -> ssl.SSLSocket:
    return api.context.wrap_socket(connected(api.server.port, source), server_hostname="localhost")


def asked(client: socket.socket, *headers: bytes) -> Answer:
    client.sendall(b"\r\n".join((b"GET / HTTP/1.1", b"Host: localhost", *headers)) + b"\r\n\r\n")
    return answer(client)


def haproxy(api: Served) -> "subprocess.Popen[bytes]":
    assert api.server._front is not None
    return api.server._front._children[-1]


def test_a_thousand_silent_connections_keep_nobody_out(api: Served) -> None:
    silent = []
    for number in range(1000):
        silent.append(connected(api.server.port, f"127.0.1.{1 + number // 50}"))
    began = time.monotonic()
    assert api.ask("GET", LIST, "ann")[0] == 200
    assert time.monotonic() - began < 5
    for client in silent:
        client.close()


def test_an_address_has_so_many_connections(api: Served) -> None:
    clients = [over_tls(api, "127.0.0.3") for _ in range(100)]
    with pytest.raises(OSError):
        over_tls(api, "127.0.0.3")
    assert api.ask("GET", LIST, "ann")[0] == 200  # from another one
    clients.pop().close()
    wait_until(lambda: _reaches(api, "127.0.0.3"))
    for client in clients:
        client.close()


def _reaches(api: Served, source: str) -> bool:
    try:
        over_tls(api, source).close()
    except OSError:
        return False
    return True


def test_operators_may_allow_more(tmp_path: Path, store: Store) -> None:
    for number, fits in ((0, 150), (3, 3)):
        api = Served(tmp_path, store, connections_per_address=number)
        clients = [over_tls(api, "127.0.0.3") for _ in range(fits)]
        assert _reaches(api, "127.0.0.3") == (number == 0)
        for client in clients:
            client.close()
        api.server.stop()


@pytest.mark.parametrize("drop", [b"X-A: b\r\n", b"x"])
def test_requests_have_their_time_as_wholes(api: Served, drop: bytes) -> None:
    client = over_tls(api)
    end = b"" if drop.endswith(b"\n") else b"Content-Length: 90000\r\n\r\n"
    client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: localhost\r\n" + end)
    assert is_over(client, lambda: client.sendall(drop))


def test_handshakes_have_their_time_too(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_config, "CLIENT_SECONDS", 2)
    api = Served(tmp_path, store)
    client = connected(api.server.port)
    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert is_over(client, lambda: client.sendall(b"x"))
    api.server.stop()


def test_chunks_without_end_are_refused(api: Served) -> None:
    client = over_tls(api)
    client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + b" " * 16384 + b"\r\n"
    sent = 0
    with pytest.raises(OSError):  # noqa: PT012  (reset, or a pipe that is broken)
        while sent < 20_000_000:
            client.sendall(chunk)
            sent += len(chunk)
    assert sent < 20_000_000


@pytest.mark.parametrize("length", [b"Content-Length: %d\r\n", b""], ids=["two-lengths", "chunks-alone"])
def test_nothing_is_smuggled_in_a_body_whose_length_may_be_read_in_two_ways(
    api: Served, length: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    inside = b"0\r\n\r\nGET /v2/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    length = length % len(inside) if length else length
    with caplog.at_level("INFO", "hydria.api.access_log"):
        client = over_tls(api)
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (length, inside)
        )
        status, body, headers = answer(client)
        assert (status, body["code"], headers["Content-Type"]) == (400, 400, "application/json")
        assert "Content-Length" in body["description"]
        if length:
            assert is_over(client)
        else:
            assert answer(client)[0] == 401  # it was another request, nothing else
    assert (" ms " in caplog.text) == (not length)


def test_nobody_speaks_http_2(api: Served) -> None:
    client = over_tls(api)
    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert client.recv(100)[9:12] in {b"400", b"405"}
    assert is_over(client)


def test_bodies_that_do_not_come_are_answered_in_json(api: Served) -> None:
    client = over_tls(api)
    client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
    status, body, headers = answer(client)
    assert (status, body["code"], headers["Content-Type"]) == (408, 408, "application/json")


def test_a_request_without_a_name_is_answered_in_json(api: Served) -> None:
    client = over_tls(api)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    status, body, headers = answer(client)
    assert (status, body["code"], headers["Content-Type"]) == (400, 400, "application/json")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\nGET",
    ],
)
def test_what_is_no_http_is_refused(api: Served, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "hydria.api.access_log"):
        client = over_tls(api)
        client.sendall(sent)
        assert client.recv(100)[9:12] in {b"400", b"413"}
        assert is_over(client)
    assert " ms " not in caplog.text  # it did not come as far as the API


def test_who_sends_too_much_is_told_so(api: Served) -> None:
    for length in (120_000, 500_000):
        assert api.ask("POST", LIST, "ann", body=b" " * length)[0] == 413


def test_nobody_lies_about_the_address(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "hydria.api.access_log"):
        for header in (b"X-Hydria-Client: 6.6.6.6", b"x_hydria_client: 6.6.6.6", b"X-Forwarded-For: 6.6.6.6"):
            assert asked(over_tls(api, "127.0.0.5"), header, b"x-hydria-client: 6.6.6.7")[0] == 200
    lines = [record.getMessage() for record in caplog.records if record.name == "hydria.api.access_log"]
    assert len(lines) == 3
    assert all(" from 127.0.0.5 user -" in line for line in lines), lines


def test_nobody_but_haproxy_speaks_with_the_server_behind(api: Served) -> None:
    assert api.server._front is not None
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(api.server._front.behind.getsockname())
        client.settimeout(10)
        with pytest.raises(OSError):  # noqa: PT012  (closed at once: nothing is sent, or nothing is answered)
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Hydria-Client: 127.0.0.1\r\n\r\n")
            if not client.recv(1):
                raise ConnectionResetError
    assert api.ask("GET", "/")[0] == 200


def test_it_is_not_root(api: Served) -> None:
    status = Path(f"/proc/{haproxy(api).pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split() + fields["Gid"].split()
    assert (int(fields["CapEff"], 16), int(fields["CapBnd"], 16), fields["NoNewPrivs"]) == (0, 0, "1")


def test_another_takes_the_place_of_one_that_died(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    first = haproxy(api)
    first.send_signal(signal.SIGKILL)
    assert api.ask("GET", LIST, "ann")[0] == 200  # after a second in the queue
    assert haproxy(api).pid != first.pid
    assert first.returncode == -signal.SIGKILL


def test_a_renewed_certificate_is_taken_up(
    api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "_LOOK_SECONDS", 0.5)
    kept = over_tls(api)
    assert asked(kept)[0] == 200
    before = ssl.get_server_certificate(("127.0.0.1", api.server.port))
    certify(tmp_path)
    wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", api.server.port)) != before)
    new = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    client = http.client.HTTPSConnection("localhost", api.server.port, timeout=10, context=new)
    client.request("GET", "/")
    assert client.getresponse().status == 200
    client.close()
    assert api.server._front is not None
    kept.close()
    wait_until(lambda: len(api.server._front._children) == 1)  # type: ignore[union-attr]


def test_half_of_a_new_certificate_changes_nothing(
    api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(front, "_LOOK_SECONDS", 0.5)
    (tmp_path / "key.pem").write_bytes(b"")
    wait_until(lambda: "The one before is used on" in caplog.text)
    assert api.ask("GET", LIST, "ann")[0] == 200


def test_an_address_that_is_taken(api: Served, tmp_path: Path) -> None:
    settings = options(tmp_path, bind_port=api.server.port)
    with pytest.raises(Unavailable, match=r"The API cannot listen on 127.0.0.1:\d+ .*in use"):
        serve.Server(lambda *_: [], settings).start()


def test_stop_lets_requests_end_and_frees_the_port(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def app(environ: dict[str, object], start_response: object) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            begun.set()
            go_on.wait(10)
        start_response("200 OK", [("Content-Length", "2")])  # type: ignore[operator]
        return [b"{}"]

    settings = options(tmp_path)
    server = serve.Server(app, settings)  # type: ignore[arg-type]
    server.start()
    port = server.port
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    client, idle = (context.wrap_socket(connected(port), server_hostname="localhost") for _ in range(2))
    assert asked(idle)[0] == 200
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert begun.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert is_over(idle)
    go_on.set()
    assert answer(client)[0] == 200
    stopping.join(20)
    assert not stopping.is_alive()
    again = serve.Server(app, options(tmp_path, bind_port=port))  # type: ignore[arg-type]
    again.start()
    again.stop()
    with pytest.raises(ConnectionRefusedError):
        connected(port)


KILLED = """
import sys, time
from pathlib import Path
from hydria.api import serve
from tests.node.test_api_http_basic import options
server = serve.Server(lambda *_: [], options(Path(sys.argv[1])))
server.start()
print(server._front._children[-1].pid, flush=True)
time.sleep(60)
"""


def test_it_does_not_outlive_the_api(tmp_path: Path) -> None:
    options(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    os.kill(child, 0)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()
    )
