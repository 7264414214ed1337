"""Options and values that no other test of rendered configurations shows on the wire."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from hydria.model.statuses import (
    ALPNProtocol,
    ClientAuthentication,
    CompareType,
    ListenerProtocol,
    MonitorType,
    PolicyAction,
    PoolProtocol,
    RuleType,
    TLSVersion,
)
from hydria.testing.trees import POOL, listener, load_balancer, member, monitor, policy, pool, rule, tree
from tests import certificates
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import WebServer, eventually, get

pytestmark = [pytest.mark.node, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

HOST = "www.example.org"
CA = certificates.make("Test CA", ca=True)
SERVER = certificates.make(HOST, CA)
CLIENT = certificates.make("somebody", CA)
SECRETS = {"server": SERVER.bundle, "ca": CA.pem}
TERMINATING = {"protocol": ListenerProtocol.TERMINATED_HTTPS, "default_tls_container_ref": "server"}
# OpenSSL's own security level forbids the versions before 1.2 to whoever does not ask for less.
ANYTHING = "ALL:@SECLEVEL=0"
NUMBERS = {
    TLSVersion.TLS_V1: ssl.TLSVersion.TLSv1,
    TLSVersion.TLS_V1_1: ssl.TLSVersion.TLSv1_1,
    TLSVersion.TLS_V1_2: ssl.TLSVersion.TLSv1_2,
    TLSVersion.TLS_V1_3: ssl.TLSVersion.TLSv1_3,
}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with lab.web_servers(1) as (server,):
        yield server


def served(port: int, at: int, *more: Any, of_pool: dict[str, Any] | None = None, **of_listener: Any):
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, default_pool_id=POOL, **of_listener),
        pool(**(of_pool or {})),
        member(address="127.0.0.1", protocol_port=at),
        *more,
    )


@contextmanager
def connected(port: int, *, client: bool = False, **options: Any) -> Iterator[ssl.SSLSocket]:
    """A client that takes any certificate. ``options``: attributes of its context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ANYTHING)
    alpn = options.pop("alpn", None)
    if alpn:
        context.set_alpn_protocols(alpn)
    for name, value in options.items():
        setattr(context, name, value)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        yield encrypted


def said(connection: socket.socket, path: str = "/") -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    return b"".join(iter(lambda: connection.recv(4096), b""))


# --- TLS


@pytest.mark.parametrize("version", NUMBERS)
def test_each_version_of_tls_alone(proxy, port, web, version):
    proxy.serve(served(port, web.port, **TERMINATING, tls_versions=[version], tls_ciphers=ANYTHING), SECRETS)
    for other, number in NUMBERS.items():
        only = {"minimum_version": number, "maximum_version": number}
        if other is version:
            with connected(port, **only) as encrypted:
                assert encrypted.version() == version.value
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)), connected(port, **only):
                pass


def test_ssl_3_is_nothing_that_openssl_has(proxy, port, web):
    """Octavia's API knows it; a listener that also allows it serves with the others."""
    versions = [TLSVersion.SSL_V3, TLSVersion.TLS_V1_2]
    proxy.serve(served(port, web.port, **TERMINATING, tls_versions=versions), SECRETS)
    with connected(port) as encrypted:
        assert encrypted.version() == "TLSv1.2"


def test_versions_with_a_hole_between_them(proxy, port, web):
    """HAProxy speaks what is above the hole, and nothing that was not asked for."""
    versions = [TLSVersion.TLS_V1_1, TLSVersion.TLS_V1_3]
    proxy.serve(served(port, web.port, **TERMINATING, tls_versions=versions, tls_ciphers=ANYTHING), SECRETS)
    with connected(port) as encrypted:
        assert encrypted.version() == "TLSv1.3"
    for version in (TLSVersion.TLS_V1, TLSVersion.TLS_V1_2):
        only = {"minimum_version": NUMBERS[version], "maximum_version": NUMBERS[version]}
        with pytest.raises((ssl.SSLError, ConnectionError)), connected(port, **only):
            pass


@pytest.mark.parametrize("protocol", ALPNProtocol)
def test_each_alpn_protocol_alone(proxy, port, web, protocol):
    proxy.serve(served(port, web.port, **TERMINATING, alpn_protocols=[protocol]), SECRETS)
    with connected(port, alpn=list(map(str, ALPNProtocol))) as encrypted:
        assert encrypted.selected_alpn_protocol() == protocol.value
    others = [each.value for each in ALPNProtocol if each is not protocol]
    with connected(port, alpn=others) as encrypted:
        assert encrypted.selected_alpn_protocol() is None


def test_without_client_authentication_nobody_is_asked_for_a_certificate(proxy, port, web):
    none = {"client_authentication": ClientAuthentication.NONE, "client_ca_tls_container_ref": "ca"}
    headers = {"insert_headers": {"X-SSL-Client-Has-Cert": "true"}}
    proxy.serve(served(port, web.port, **TERMINATING, **none, **headers), SECRETS)
    with connected(port) as encrypted:
        assert b'["x-ssl-client-has-cert", "0"]' in said(encrypted)


@pytest.mark.parametrize(
    ("compare", "value", "matches"),
    [
        (CompareType.EQUAL_TO, "somebody", True),
        (CompareType.EQUAL_TO, "some", False),
        (CompareType.STARTS_WITH, "some", True),
        (CompareType.STARTS_WITH, "body", False),
        (CompareType.ENDS_WITH, "body", True),
        (CompareType.ENDS_WITH, "some", False),
        (CompareType.CONTAINS, "meb", True),
        (CompareType.CONTAINS, "nobody", False),
        (CompareType.REGEX, "^s.*y$", True),
        (CompareType.REGEX, "^S", False),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_names_in_certificates_are_compared_in_every_way(
    proxy, port, web, tmp_path, compare, value, matches, invert
):
    optional = {"client_authentication": ClientAuthentication.OPTIONAL, "client_ca_tls_container_ref": "ca"}
    of_rule = {"type": RuleType.SSL_DN_FIELD, "key_name": "CN", "compare_type": compare, "value": value}
    rejects = (policy(action=PolicyAction.REJECT), rule(**of_rule, invert=invert))
    proxy.serve(served(port, web.port, *rejects, **TERMINATING, **optional), SECRETS)
    context = ssl.create_default_context(cadata=CA.pem)
    context.load_cert_chain(CLIENT.file(tmp_path, "client.pem"))
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        status = said(encrypted).split()[1]
    assert status == (b"403" if matches != invert else b"200")


# --- towards members


class Behind:
    """A second HAProxy as a member: what it says of a request is what the member has got."""

    def __init__(self, directory, bind: str) -> None:
        self.port = lab.free_port()
        self._proxy = lab.Proxy(directory)
        (directory / "server.pem").write_text(SERVER.bundle)
        seen = "%[req.ver] %[ssl_fc_protocol] %[ssl_fc_cipher] %[ssl_fc_alpn]"
        self._proxy.start(
            "global\n    stats socket unix@stats.sock\n"
            "defaults\n    mode http\n    timeout client 5s\n"
            f"frontend member\n    bind 127.0.0.1:{self.port} ssl crt server.pem {bind}\n"
            f'    http-request return status 200 content-type text/plain lf-string "{seen}"\n'
        )

    def stop(self) -> None:
        self._proxy.stop()


@contextmanager
def behind(directory, bind: str) -> Iterator[int]:
    directory.mkdir()
    made = Behind(directory, bind)
    try:
        yield made.port
    finally:
        made.stop()


def asked(port: int) -> list[str]:
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        return said(plain).rpartition(b"\r\n\r\n")[2].decode().split()


@pytest.mark.parametrize(
    ("protocol", "version"),
    [(ALPNProtocol.H2, "2.0"), (ALPNProtocol.HTTP_1_1, "1.1"), (ALPNProtocol.HTTP_1_0, "1.1")],
)
def test_each_alpn_protocol_towards_members(proxy, port, tmp_path, protocol, version):
    with behind(tmp_path / "member", "alpn h2,http/1.1,http/1.0") as at:
        proxy.serve(served(port, at, of_pool={"tls_enabled": True, "alpn_protocols": [protocol]}))
        assert asked(port)[::3] == [version, protocol.value]


@pytest.mark.parametrize("version", NUMBERS)
def test_each_version_of_tls_towards_members(proxy, port, tmp_path, version):
    with behind(tmp_path / "member", f"ssl-min-ver TLSv1.0 ciphers {ANYTHING}") as at:
        of_pool = {"tls_enabled": True, "tls_versions": [version], "tls_ciphers": ANYTHING}
        proxy.serve(served(port, at, of_pool=of_pool))
        assert asked(port)[1] == version.value


@pytest.mark.parametrize(
    ("chosen", "version"),
    [
        ("TLS_CHACHA20_POLY1305_SHA256", TLSVersion.TLS_V1_3),
        ("TLS_AES_128_GCM_SHA256", TLSVersion.TLS_V1_3),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", TLSVersion.TLS_V1_2),
    ],
)
def test_ciphers_towards_members(proxy, port, tmp_path, chosen, version):
    with behind(tmp_path / "member", "") as at:
        of_pool = {"tls_enabled": True, "tls_versions": [version], "tls_ciphers": chosen}
        proxy.serve(served(port, at, of_pool=of_pool))
        assert asked(port)[1:3] == [version.value, chosen]


@pytest.mark.parametrize(
    ("front", "pool_protocol"),
    [
        (ListenerProtocol.HTTPS, PoolProtocol.HTTPS),
        (ListenerProtocol.HTTPS, PoolProtocol.TCP),
        (ListenerProtocol.TCP, PoolProtocol.HTTPS),
    ],
)
def test_tls_passes_through_to_members(proxy, port, tmp_path, front, pool_protocol):
    with behind(tmp_path / "member", "") as at:
        proxy.serve(served(port, at, protocol=front, of_pool={"protocol": pool_protocol}))
        with connected(port) as encrypted:
            assert encrypted.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(SERVER.pem)
            assert said(encrypted).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("pool_protocol", [PoolProtocol.HTTP, PoolProtocol.TCP])
def test_tcp_listeners_carry_whatever_is_said(proxy, port, web, pool_protocol):
    of_pool = {"protocol": pool_protocol}
    proxy.serve(served(port, web.port, protocol=ListenerProtocol.TCP, of_pool=of_pool))
    assert get(port).member == web.name


# --- headers, rules, timeouts


@pytest.mark.parametrize("name", ["X-Forwarded-IP", "X-Client-IP", "X-Real-IP"])
def test_the_address_of_the_client_under_other_names(proxy, port, web, name):
    proxy.serve(served(port, web.port, insert_headers={name: "true"}))
    answer = get(port, source="127.0.0.9", headers={name: "192.0.2.1"})
    assert answer.header(name) == ["127.0.0.9"]


@pytest.mark.parametrize(
    ("compare", "value", "good", "bad"),
    [
        (CompareType.EQUAL_TO, "one", "one", "ones"),
        (CompareType.STARTS_WITH, "on", "one", "son"),
        (CompareType.ENDS_WITH, "ne", "one", "net"),
        (CompareType.CONTAINS, "n", "one", "two"),
        (CompareType.REGEX, "^o.e$", "one", "on"),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_parameters_are_compared_in_every_way(proxy, port, web, compare, value, good, bad, invert):
    of_rule = {"type": RuleType.QUERY, "key_name": "q", "compare_type": compare, "value": value}
    proxy.serve(served(port, web.port, policy(), rule(**of_rule, invert=invert)))
    assert get(port, f"/?q={good}").status == (200 if invert else 403)
    assert get(port, f"/?q={bad}").status == (403 if invert else 200)


def test_members_that_do_not_answer_in_time(proxy, port, web):
    proxy.serve(served(port, web.port, timeout_member_data=300))
    assert get(port, "/slow").status == 504
    assert get(port).status == 200


def test_members_that_do_not_take_connections_in_time(proxy, port):
    """Its queue is full, so that the kernel says nothing to whoever comes."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        proxy.serve(served(port, full.getsockname()[1], timeout_member_connect=100))
        began = time.monotonic()
        assert get(port).status == 503
        assert time.monotonic() - began < 5  # which is the default, and of one attempt of several
        for each in waiting:
            each.close()


# --- monitors


class Moody:
    """A member that answers probes by what is in ``mood``; the last one stays."""

    def __init__(self, *mood: int) -> None:
        self.mood = list(mood)
        self.asked: list[float] = []

    def answer(self, connection: socket.socket) -> None:
        if not connection.recv(4096):
            return
        self.asked.append(time.monotonic())
        status = self.mood.pop(0) if len(self.mood) > 1 else self.mood[0]
        connection.sendall(f"HTTP/1.0 {status} x\r\nContent-Length: 0\r\n\r\n".encode())


@contextmanager
def moody(*mood: int) -> Iterator[tuple[int, Moody]]:
    member_ = Moody(*mood)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    member_.answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], member_
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def status(proxy: lab.Proxy) -> str:
    return proxy.statistics()[f"{POOL}:{listener().id}/{member().id}"]["status"]


def test_as_many_failures_and_successes_as_it_takes(proxy, port):
    """Three failures in a row, after two were not enough; then two successes, after one was not.

    The first answer decides alone, for nothing is known before.
    """
    with moody(200, 500, 500, 200, 500, 500, 500, 200, 500, 200, 200) as (at, asked_):
        probed = monitor(delay=1, timeout=1, max_retries=2, max_retries_down=3)
        proxy.serve(served(port, at, probed))
        eventually(lambda: status(proxy) == "DOWN", 30)
        assert len(asked_.asked) >= 7
        eventually(lambda: status(proxy) == "UP", 30)
        assert len(asked_.asked) >= 11


def test_probes_come_at_the_delay(proxy, port):
    with moody(200) as (at, asked_):
        proxy.serve(served(port, at, monitor(delay=2, timeout=1)))
        eventually(lambda: len(asked_.asked) >= 3, 30)
        assert asked_.asked[2] - asked_.asked[0] > 3


def test_probes_fail_after_the_timeout(proxy, port):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = silent.getsockname()[1]
        proxy.serve(served(port, at, monitor(delay=1, timeout=1, max_retries_down=1)))
        eventually(lambda: status(proxy) == "DOWN", 30)
        name = f"{POOL}:{listener().id}/{member().id}"
        assert proxy.statistics()[name]["check_status"] == "L7TOUT"


def test_members_are_probed_at_another_address(proxy, port, web):
    with WebServer("probe", "127.0.0.2").serving() as other:
        elsewhere = {"monitor_address": "127.0.0.2", "monitor_port": other.port}
        of = served(port, web.port, monitor(type=MonitorType.HTTP, delay=1))
        moved = member(address="127.0.0.1", protocol_port=web.port, **elsewhere)
        proxy.serve(tree(of.load_balancer, *of.listeners, *of.pools, moved, *of.health_monitors))
        eventually(lambda: other.requests)
        assert get(port).member == web.name
        assert [request for request, _ in web.requests] == ["GET / HTTP/1.1"]


def test_a_monitor_that_is_off_asks_nobody(proxy, port, web):
    proxy.serve(served(port, web.port, monitor(delay=1, admin_state_up=False)))
    assert status(proxy) == "no check"
    assert get(port).member == web.name
    assert len(web.requests) == 1
