"""Requests that two readers may take for two things, and names that are not this API's."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.api import serve
from hydria.api.hosts import Hosts
from hydria.model.errors import Invalid
from hydria.settings import ApiSettings, OsloMiddlewareSettings, Settings
from tests.databases import new_store
from tests.node.test_api_http_basic import certify
from tests.security.api_lab import answer, connected, is_over
from tests.unit.api_reading import Api


@pytest.fixture
def server(tmp_path: Path) -> Iterator[serve.Server]:
    server = serve.Server(
        Api(new_store(tmp_path)).client.app, Settings(api_settings=ApiSettings(bind_port=0))
    )
    server.start()
    yield server
    server.stop()


SMUGGLED = b"0\r\n\r\nDELETE /v2/pools/x HTTP/1.1\r\nHost: localhost\r\nX: "


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked",
            "how long",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 60",
            "how long",
        ),
        (
            b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 60",
            "of HTTP/1.1",
        ),
        (b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked", "of HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", "more than one Host"),
        (b"GET / HTTP/1.1\r\nAccept: */*", "has a Host header"),
    ],
)
def test_ambiguous_requests_are_refused(server: serve.Server, head: bytes, said: str) -> None:
    client = connected(server.port)
    client.sendall(head + b"\r\n\r\n" + SMUGGLED)
    status, body, _ = answer(client)
    assert (status, said in body["description"]) == (400, True), body
    assert is_over(client)


def settings(directory: Path, name: str = "api.example", **more: object) -> Settings:
    certify(directory, name)
    options = ApiSettings(tls_certificate_file=str(directory / "cert.pem"), **more)  # type: ignore[arg-type]
    return Settings(api_settings=options)


@pytest.mark.parametrize(
    "host", ["api.example", "API.example.:9876", "127.0.0.1:9876", "[::1]:9876", "localhost"]
)
def test_names_of_this_api(tmp_path: Path, host: str) -> None:
    Hosts(settings(tmp_path)).check(host)


@pytest.mark.parametrize("host", ["evil.example", "api.example.evil", "x.api.example", "api.example, evil"])
def test_other_names_are_refused_where_tls_is_spoken(tmp_path: Path, host: str) -> None:
    with pytest.raises(Invalid, match="The Host header"):
        Hosts(settings(tmp_path)).check(host)


def test_certificates_of_many_names(tmp_path: Path) -> None:
    hosts = Hosts(settings(tmp_path, "*.example"))
    hosts.check("api.example")
    for other in ("a.api.example", "example"):
        with pytest.raises(Invalid):
            hosts.check(other)


@pytest.mark.parametrize(
    "host", ["evil.example/x", "a b", "a@b", "a:b", "<x>", '"', "a, b", "[::1", "x" * 300]
)
def test_what_is_no_name_is_refused_everywhere(host: str) -> None:
    with pytest.raises(Invalid, match="is not a name or an address"):
        Hosts(Settings()).check(host)


def test_operators_may_set_the_links_instead(tmp_path: Path) -> None:
    Hosts(settings(tmp_path, api_base_uri="https://api.example")).check("other.example")
    proxied = OsloMiddlewareSettings(enable_proxy_headers_parsing=True)
    Hosts(dataclasses.replace(settings(tmp_path), oslo_middleware=proxied)).check("other.example")


def test_a_renewed_certificate_has_its_own_names(tmp_path: Path) -> None:
    hosts = Hosts(settings(tmp_path))
    hosts.check("api.example")
    certify(tmp_path, "new.example")
    hosts.check("new.example")
    with pytest.raises(Invalid):
        hosts.check("api.example")


def test_answers_link_to_no_other_name(server: serve.Server) -> None:
    client = connected(server.port)
    client.sendall(b'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n')
    assert answer(client)[0] == 400
