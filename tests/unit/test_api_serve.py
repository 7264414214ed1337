"""The API's own server on a real socket, and where it refuses to listen."""

import dataclasses
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.api import serve
from hydria.model.errors import Forbidden, Unavailable
from hydria.settings import ApiSettings, Settings
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import Api


def settings(host: str = "127.0.0.1", port: int = 0) -> Settings:
    return Settings(api_settings=ApiSettings(bind_host=host, bind_port=port))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[serve.Server]:
    api = Api(new_store(tmp_path))
    api.insert(trees.load_balancer())
    server = serve.Server(api.client.app, settings())
    server.start()
    yield server
    server.stop()


def test_requests_on_one_connection(server: serve.Server) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        client.request("GET", "/v2/lbaas/loadbalancers")
        answer = client.getresponse()
        assert answer.status == 200
        assert trees.BALANCER in answer.read().decode()
        assert answer.headers["Server"] is None
    client.close()


def test_chunked_bodies(server: serve.Server) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    client.request(
        "POST",
        "/v2/pools",
        iter([b'{"po', b'ol": {}}']),
        {"Content-Type": "application/json"},
        encode_chunked=True,
    )
    answer = client.getresponse()
    assert (answer.status, b"Mandatory field missing" in answer.read()) == (400, True)
    client.close()


@pytest.mark.parametrize("length", [120_000, 500_000])
def test_who_sends_too_much_is_told_so(server: serve.Server, length: int) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
            for sent in range(0, length, 50_000):
                client.sendall(b" " * min(50_000, length - sent))
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_long_bodies_are_not_read(server: serve.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"POST /v2/pools HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_slow_clients_keep_nobody_waiting(server: serve.Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    for client in slow:
        client.sendall(b"GET / HTTP/1.1\r\nHo")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    for client in slow:
        client.close()


def test_stop_lets_requests_end_and_frees_the_port(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def app(_environ: object, start_response: object) -> list[bytes]:
        begun.set()
        go_on.wait(10)
        start_response("200 OK", [("Content-Length", "4")])  # type: ignore[operator]
        return [b"done"]

    server = serve.Server(app, settings())  # type: ignore[arg-type]
    server.start()
    port = server.port
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert begun.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    go_on.set()
    stopping.join(20)
    assert not stopping.is_alive()
    assert client.recv(1000).endswith(b"done")
    client.close()
    again = serve.Server(app, settings(port=port))  # type: ignore[arg-type]
    again.start()
    again.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_a_name_with_several_addresses(tmp_path: Path) -> None:
    server = serve.Server(Api(new_store(tmp_path)).client.app, settings("localhost"))
    server.start()
    client = http.client.HTTPConnection("localhost", server.port, timeout=10)
    client.request("GET", "/")
    assert client.getresponse().status == 200
    client.close()
    server.stop()


def test_all_addresses_with_an_identity() -> None:
    anywhere = dataclasses.replace(settings("").api_settings, auth_strategy="keystone")
    server = serve.Server(lambda *_: [], Settings(api_settings=anywhere))
    server.start()
    socket.create_connection(("127.0.0.1", server.port), timeout=10).close()
    server.stop()


def test_an_address_that_is_taken(server: serve.Server) -> None:
    with pytest.raises(Unavailable, match=rf"The API cannot listen on 127.0.0.1:{server.port} .*in use"):
        serve.Server(lambda *_: [], settings(port=server.port)).start()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_identity(host: str) -> None:
    serve.refuse_open_doors(settings(host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "*", "::ffff:192.0.2.1"])
def test_anything_else_does(host: str) -> None:
    with pytest.raises(Forbidden, match="does not serve requests without identity beyond loopback"):
        serve.Server(lambda *_: [], settings(host)).start()


def test_clients_leave_open_files_for_the_rest_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, connections in ((256, 128), (1024, 512), (1_000_000, 1000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, allowed=allowed: (allowed, 1_000_000))
        assert serve._connections() == connections


def test_an_address_that_cannot_be_split_is_the_clients_error(
    server: serve.Server, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 Bad Request")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "Bad URI"),
        (b"nonsense\r\n\r\n", 400, "Start line is invalid"),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400, "Start line is invalid"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "Invalid header"),
        (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, "Bare CR or LF"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length is invalid"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Content-Length"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
            "Transfer-Encoding requested is not supported.",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            400,
            "Invalid chunk size",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", 413, "exceeds max_body"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", 431, "exceeds max_header"),
    ],
)
def test_what_is_no_http_is_answered_in_json(
    server: serve.Server, sent: bytes, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(sent)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = json.loads(answer.read())
    assert (answer.status, answer.headers["Content-Type"], body["code"]) == (
        status,
        "application/json",
        status,
    )
    assert set(body) == {"code", "title", "description"}
    assert body["description"].startswith("The server cannot take this request: ")
    assert said in body["description"]
    assert answer.headers["X-Openstack-Request-Id"].startswith("req-")
    assert caplog.text == ""


def test_the_wsgi_module_reads_its_configuration_with_the_first_request(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    file = tmp_path / "hydria.conf"
    file.write_text(
        f"[DEFAULT]\nstate_dir = {tmp_path}\n[controller_worker]\nnetwork_driver = network_noop_driver\n"
    )
    asked = (
        "from falcon import testing\nfrom hydria.wsgi import application\nimport sys\n"
        "assert 'falcon.app' not in sys.modules or 'hydria.api.app' not in sys.modules\n"
        "print(testing.TestClient(application).simulate_get('/v2/lbaas/pools', headers={'Host': 'localhost'}).json)\n"
    )
    environment = {**os.environ, "HYDRIA_CONFIG": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "{'pools': [], 'pools_links': []}", done.stderr
