"""TLS to clients and to members, seen by real clients and servers."""

import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from hydria.model.listener import HEADERS, SSL_HEADERS
from hydria.model.modification import FixedResponse
from hydria.model.statuses import (
    ALPNProtocol,
    ClientAuthentication,
    CompareType,
    ListenerProtocol,
    PolicyAction,
    PoolProtocol,
    RuleType,
    TLSVersion,
)
from hydria.model.tree import Tree
from hydria.testing.trees import POOL, listener, load_balancer, member, policy, pool, rule, tree
from tests import certificates
from tests.certificates import Made
from tests.node import dataplane_lab as lab
from tests.node.dataplane_lab import WebServer

pytestmark = pytest.mark.node

HOST = "www.example.org"
CA = certificates.make("Test CA", ca=True)
SERVER = certificates.make(HOST, CA)
OTHER = certificates.make("other.example.org", CA)
CLIENT = certificates.make("somebody", CA)
REVOKED = certificates.make("nobody", CA)
STRANGER = certificates.make("stranger", certificates.make("Another CA", ca=True))
SECRETS = {
    "server": SERVER.bundle,
    "other": OTHER.bundle,
    "client": CLIENT.bundle,
    "ca": CA.pem,
    "crl": CA.revoking(REVOKED),
}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with lab.web_servers(1) as (server,):
        yield server


def terminating(port: int, *members: int, of_pool: dict[str, Any] | None = None, **more: Any) -> Tree:
    references = {"default_tls_container_ref": "server"} | more
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(
            protocol=ListenerProtocol.TERMINATED_HTTPS,
            protocol_port=port,
            default_pool_id=POOL,
            **references,
        ),
        pool(**(of_pool or {})),
        *(member(n, address="127.0.0.1", protocol_port=each) for n, each in enumerate(members, 1)),
    )


@contextmanager
def connected(
    port: int, name: str = HOST, client: Made | None = None, **options: Any
) -> Iterator[ssl.SSLSocket]:
    """A client that trusts the test's CA and insists on the name."""
    context = ssl.create_default_context(cadata=CA.pem)
    for option, value in options.items():
        getattr(context, option)(value) if callable(getattr(context, option)) else setattr(
            context, option, value
        )
    if client:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(client.bundle)
            file.flush()
            context.load_cert_chain(file.name)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=name) as encrypted,
    ):
        yield encrypted


def ask(port: int, name: str = HOST, client: Made | None = None, **headers: str) -> dict[str, list[str]]:
    """The headers that the member saw, by lower-case name; the response's own under "response"."""
    with connected(port, name, client) as encrypted:
        lines = [f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        encrypted.sendall("\r\n".join([*lines, "", ""]).encode())
        response = http.client.HTTPResponse(encrypted)  # type: ignore[arg-type]  # it has makefile()
        response.begin()
        assert response.status == 200
        seen: dict[str, list[str]] = {}
        for key, value in json.loads(response.read())["headers"]:
            seen.setdefault(key.lower(), []).append(value)
        return seen | {"response": [f"{key}: {value}" for key, value in response.getheaders()]}


def refused(port: int, client: Made | None = None) -> bool:
    """Whether the handshake fails; with TLS 1.3 a client learns of it when it reads."""
    try:
        ask(port, client=client)
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return True
    return False


def test_https_ends_here(proxy, port, web):
    headers = {"X-Forwarded-Proto": "true", "X-Forwarded-Port": "true", "X-Forwarded-For": "true"}
    proxy.serve(terminating(port, web.port, insert_headers=headers, hsts_max_age=100), SECRETS)
    seen = ask(port)
    assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == (["https"], [str(port)])
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert "strict-transport-security: max-age=100" in seen["response"]


def test_hsts_in_full(proxy, port, web):
    everything = {"hsts_max_age": 5, "hsts_include_subdomains": True, "hsts_preload": True}
    proxy.serve(terminating(port, web.port, **everything), SECRETS)
    assert "strict-transport-security: max-age=5; includeSubDomains; preload" in ask(port)["response"]


ANSWERS = {
    302: {"action": PolicyAction.REDIRECT_PREFIX, "redirect_prefix": f"https://{HOST}"},
    308: {
        "action": PolicyAction.REDIRECT_TO_URL,
        "redirect_url": f"https://{HOST}/",
        "redirect_http_code": 308,
    },
    403: {"action": PolicyAction.REJECT},
    299: {"action": PolicyAction.FIXED_RESPONSE, "fixed_response": FixedResponse(status=299, body="ok")},
}


def test_hsts_on_what_is_answered_here(proxy, port):
    """Redirects, refusals, fixed responses, and no member that serves: RFC 6797, section 7.1."""
    of = terminating(port, hsts_max_age=100, alpn_protocols=[ALPNProtocol.H2, ALPNProtocol.HTTP_1_1])
    policies = [policy(number, **words) for number, words in enumerate(ANSWERS.values(), 1)]
    rules = [
        rule(number, l7policy_id=policy(number).id, type=RuleType.PATH, value=f"/{status}")
        for number, status in enumerate(ANSWERS, 1)
    ]
    proxy.serve(tree(of.load_balancer, *of.children(), *policies, *rules), SECRETS)
    for expected in (*ANSWERS, 503):
        for version in ("--http1.1", "--http2"):
            said = subprocess.run(
                ["curl", "-sk", version, "-D", "-", "-o", "/dev/null", f"https://127.0.0.1:{port}/{expected}"],
                capture_output=True, text=True, timeout=10, check=True,
            ).stdout.lower().splitlines()  # fmt: skip
            assert said[0].split()[1] == str(expected)
            assert said.count("strict-transport-security: max-age=100") == 1


@pytest.mark.parametrize("default", ["server", None])
def test_the_certificate_is_that_of_the_name(proxy, port, web, default):
    names = ["other", "server"] if default is None else ["other"]
    proxy.serve(
        terminating(port, web.port, default_tls_container_ref=default, sni_container_refs=names), SECRETS
    )
    assert ask(port, HOST)
    assert ask(port, "other.example.org")
    # Who names nothing known gets the default, or the first of the others.
    with connected(port, "unknown.example", check_hostname=False) as encrypted:
        subject = dict(pair for (pair,) in encrypted.getpeercert()["subject"])  # type: ignore[misc, index, union-attr]
    assert subject["commonName"] == (HOST if default else "other.example.org")


def test_versions(proxy, port, web):
    proxy.serve(terminating(port, web.port, tls_versions=[TLSVersion.TLS_V1_2]), SECRETS)
    with connected(port) as encrypted:
        assert encrypted.version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError), connected(port, minimum_version=ssl.TLSVersion.TLSv1_3):
        pass


def test_ciphers_of_both_kinds(proxy, port, web):
    chosen = "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
    proxy.serve(terminating(port, web.port, tls_ciphers=chosen), SECRETS)
    with connected(port) as encrypted:
        assert encrypted.cipher()[0] == "TLS_AES_256_GCM_SHA384"  # type: ignore[index]
    old = ssl.TLSVersion.TLSv1_2
    with connected(port, maximum_version=old) as encrypted:
        assert encrypted.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"  # type: ignore[index]
    refused_cipher = {"maximum_version": old, "set_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}
    with pytest.raises(ssl.SSLError), connected(port, **refused_cipher):
        pass


def test_http_2_to_clients(proxy, port, web):
    alpn = [ALPNProtocol.H2, ALPNProtocol.HTTP_1_1]
    proxy.serve(terminating(port, web.port, alpn_protocols=alpn), SECRETS)
    said = subprocess.run(
        ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"https://127.0.0.1:{port}/"],
        capture_output=True, text=True, timeout=10, check=True,
    ).stdout  # fmt: skip
    assert said == "2 200"


def test_clients_must_show_a_certificate_of_the_ca(proxy, port, web):
    mandatory = {
        "client_authentication": ClientAuthentication.MANDATORY,
        "client_ca_tls_container_ref": "ca",
        "client_crl_container_ref": "crl",
    }
    proxy.serve(terminating(port, web.port, **mandatory), SECRETS)
    assert ask(port, client=CLIENT)
    assert refused(port)
    assert refused(port, STRANGER)
    assert refused(port, REVOKED)


def test_a_name_in_a_certificate_makes_no_further_header(proxy, port, web):
    hostile = certificates.make('me"\r\nX-Forwarded-For: 192.0.2.66\r\n\r\nGET /admin HTTP/1.1\r\n', CA)
    mandatory = {
        "client_authentication": ClientAuthentication.MANDATORY,
        "client_ca_tls_container_ref": "ca",
        "insert_headers": {"X-SSL-Client-DN": "true", "X-SSL-Client-CN": "true"},
    }
    proxy.serve(terminating(port, web.port, **mandatory), SECRETS)
    seen = ask(port, client=hostile)
    assert "x-forwarded-for" not in seen
    assert seen["x-ssl-client-cn"][0].startswith('me"%0D%0AX-Forwarded-For: 192.0.2.66%0D%0A')
    assert seen["x-ssl-client-dn"][0].startswith('/CN=me"%0D%0AX-Forwarded-For')
    assert len(web.requests) == 1


def test_members_learn_what_the_certificate_says(proxy, port, web):
    names = ["Client-Verify", "Client-Has-Cert", "Client-DN", "Client-CN", "Issuer", "Client-SHA1"]
    names += ["Client-Not-Before", "Client-Not-After"]
    optional = {
        "client_authentication": ClientAuthentication.OPTIONAL,
        "client_ca_tls_container_ref": "ca",
        "insert_headers": {f"X-SSL-{name}": "true" for name in names},
    }
    proxy.serve(terminating(port, web.port, **optional), SECRETS)
    seen = ask(port, client=CLIENT, X_SSL_Client_CN="forged")
    told = {name: seen[f"x-ssl-{name.lower()}"] for name in names}
    assert told["Client-Verify"] == ["0"]
    assert told["Client-Has-Cert"] == ["1"]
    assert told["Client-CN"] == ["somebody"]
    assert told["Client-DN"] == ["/CN=somebody"]
    assert told["Issuer"] == ["/CN=Test CA"]
    assert len(told["Client-SHA1"][0]) == 40
    assert told["Client-Not-After"] == [CLIENT.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")]
    seen = ask(port, X_SSL_Client_CN="forged")
    assert seen["x-ssl-client-has-cert"] == ["0"]
    assert seen["x-ssl-client-cn"] == [""]


def test_no_client_forges_a_header_by_another_spelling(proxy, port, web):
    """Programs behind CGI, FastCGI or WSGI cannot tell X_SSL_Client_CN from X-SSL-Client-CN."""
    names = [*HEADERS, *SSL_HEADERS]
    optional = {"client_authentication": ClientAuthentication.OPTIONAL, "client_ca_tls_container_ref": "ca"}
    spellings = [name.replace("-", mark) for name in names for mark in ("_", ".", "!")]
    spellings += [name.replace("-", "_", 1).upper() for name in names]
    spellings += [name[::-1].replace("-", "_", 1)[::-1] for name in names]
    others = ["X_SSL_Other", "Not_X_SSL_Client_CN", "X_SSL_Client_CN_Not", "XSSLClientCN"]
    forged = dict.fromkeys((*spellings, *others), "forged")

    def seen() -> dict[str, str]:
        with connected(port) as encrypted:
            lines = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
            encrypted.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}\r\n".encode())
            response = http.client.HTTPResponse(encrypted)  # type: ignore[arg-type]  # it has makefile()
            response.begin()
            return {name.lower(): value for name, value in json.loads(response.read())["headers"]}

    inserted = dict.fromkeys(names, "true")
    proxy.serve(terminating(port, web.port, **optional, insert_headers=inserted), SECRETS)
    assert {name for name, value in seen().items() if value == "forged"} == {name.lower() for name in others}
    proxy.serve(terminating(port, web.port, **optional, insert_headers={}), SECRETS)
    assert {name for name, value in seen().items() if value == "forged"} == {name.lower() for name in forged}


def test_a_renewed_certificate_is_taken_up_while_it_runs(proxy, port, web):
    of = terminating(port, web.port)
    before = proxy.serve(of, SECRETS)
    renewed = certificates.make(HOST, CA)
    from hydria.dataplane import haproxy

    after = haproxy.render(of.desired(), lab.TUNING, SECRETS | {"server": renewed.bundle}, lab.CAPABILITIES)
    assert after.structure == before.structure
    (changed,) = [file for file in after.files if file not in before.files]
    proxy.ask_with(f"set ssl cert tls/{changed.name}", changed.content)
    assert "Success" in proxy.ask(f"commit ssl cert tls/{changed.name}")
    with connected(port) as encrypted:
        assert int(encrypted.getpeercert()["serialNumber"], 16) == renewed.certificate.serial_number  # type: ignore[index, arg-type]


# --- towards members


@contextmanager
def tls_member(
    certificate: Made, *, client_ca: Made | None = None, alpn: list[str] | None = None
) -> Iterator[tuple[int, list[Any]]]:
    """A member that speaks TLS: its port, and (server name, client's CN, protocol) of each handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(certificate.bundle)
        file.flush()
        context.load_cert_chain(file.name)
    if client_ca:
        context.load_verify_locations(cadata=client_ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols(alpn)
    seen: list[Any] = []
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = server.accept()
                with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as encrypted:
                    subject = dict(pair for (pair,) in (encrypted.getpeercert() or {}).get("subject", ()))
                    seen.append((names[-1], subject.get("commonName"), encrypted.selected_alpn_protocol()))
                    encrypted.settimeout(5)
                    encrypted.recv(4096)
                    body = b'{"headers": []}'
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    encrypted.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_members_are_spoken_to_in_tls(proxy, port):
    with tls_member(OTHER) as (at, seen):
        proxy.serve(terminating(port, at, of_pool={"tls_enabled": True}), SECRETS)
        assert ask(port)
        assert seen == [(HOST, None, None)]


def test_members_get_our_certificate(proxy, port):
    of_pool = {"tls_enabled": True, "tls_container_ref": "client"}
    with tls_member(SERVER, client_ca=CA) as (at, seen):
        proxy.serve(terminating(port, at, of_pool=of_pool), SECRETS)
        assert ask(port)
        assert seen[0][:2] == (HOST, "somebody")


@pytest.mark.parametrize(
    ("shown", "more", "status"),
    [
        (SERVER, {}, 200),
        (OTHER, {}, 503),
        (STRANGER, {}, 503),
        (certificates.make(HOST), {}, 503),
        (SERVER, {"crl_container_ref": "crl"}, 200),
        (SERVER, {"crl_container_ref": "all revoked"}, 503),
    ],
    ids=["right", "another name", "another CA", "self-signed", "not revoked", "revoked"],
)
@pytest.mark.parametrize("protocol", [ListenerProtocol.TERMINATED_HTTPS, ListenerProtocol.HTTP])
def test_members_are_verified(proxy, port, protocol, shown, more, status):
    of_pool = {"tls_enabled": True, "ca_tls_container_ref": "ca", **more}
    secrets = SECRETS | {"all revoked": CA.revoking(SERVER)}
    with tls_member(shown) as (at, _):
        of = terminating(port, at, of_pool=of_pool)
        if protocol is ListenerProtocol.HTTP:
            front = listener(protocol_port=port, default_pool_id=POOL)
            of = tree(of.load_balancer, front, *of.pools, *of.members)
        proxy.serve(of, secrets)
        if protocol is ListenerProtocol.HTTP:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/", headers={"Host": f"{HOST}:{port}"})
            found = connection.getresponse().status
            connection.close()
        else:
            with connected(port) as encrypted:
                encrypted.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                found = int(encrypted.recv(12).split()[1])
        assert found == status


def test_versions_ciphers_and_alpn_towards_members(proxy, port):
    of_pool = {
        "protocol": PoolProtocol.HTTP,
        "tls_enabled": True,
        "tls_versions": [TLSVersion.TLS_V1_3],
        "tls_ciphers": "TLS_AES_128_GCM_SHA256",
        "alpn_protocols": [ALPNProtocol.HTTP_1_1],
    }
    with tls_member(SERVER, alpn=["http/1.1"]) as (at, seen):
        proxy.serve(terminating(port, at, of_pool=of_pool), SECRETS)
        assert ask(port)
        assert seen[0][2] == "http/1.1"


# --- L7 rules about the client's certificate


def status(port: int, client: Made | None = None) -> int:
    with connected(port, client=client) as encrypted:
        encrypted.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return int(encrypted.recv(12).split()[1])


@pytest.mark.parametrize(
    ("kind", "more", "with_one", "without"),
    [
        (RuleType.SSL_CONN_HAS_CERT, {"value": "true"}, 403, 200),
        (RuleType.SSL_CONN_HAS_CERT, {"value": "True", "invert": True}, 200, 403),
        (RuleType.SSL_VERIFY_RESULT, {"value": "0"}, 403, 403),
        (RuleType.SSL_VERIFY_RESULT, {"value": "10"}, 200, 200),
        (RuleType.SSL_DN_FIELD, {"key_name": "CN", "value": "somebody"}, 403, 200),
        (RuleType.SSL_DN_FIELD, {"key_name": "CN", "value": "nobody"}, 200, 200),
        (
            RuleType.SSL_DN_FIELD,
            {"key_name": "CN", "value": "^some", "compare_type": CompareType.REGEX},
            403,
            200,
        ),
    ],
)
def test_rules_about_the_certificate(proxy, port, web, kind, more, with_one, without):
    optional = {"client_authentication": ClientAuthentication.OPTIONAL, "client_ca_tls_container_ref": "ca"}
    of = terminating(port, web.port, **optional)
    rejects = (
        policy(action=PolicyAction.REJECT),
        rule(type=kind, **{"compare_type": CompareType.EQUAL_TO, **more}),
    )
    proxy.serve(tree(of.load_balancer, *of.children(), *rejects), SECRETS)
    assert (status(port, CLIENT), status(port)) == (with_one, without)


def test_policies_over_tls(proxy, port, web):
    of = terminating(port, web.port)
    to = policy(
        action=PolicyAction.REDIRECT_TO_URL, redirect_url="https://example.org/x", redirect_http_code=308
    )
    proxy.serve(
        tree(of.load_balancer, *of.children(), to, rule(type=RuleType.HOST_NAME, value=HOST)), SECRETS
    )
    assert status(port) == 308
