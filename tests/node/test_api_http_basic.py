"""Users of a file over TLS, through the HAProxy in front: who gets in, as whom, and what it costs."""

import base64
import dataclasses
import datetime as dt
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hydria.api import program, serve
from hydria.messages import LocalWakeups
from hydria.model.errors import Forbidden, Invalid
from hydria.settings import ApiSettings, OsloMiddlewareSettings, Settings
from hydria.store import Store
from tests.databases import new_store
from tests.unit.api_writing import embedded_network

pytestmark = pytest.mark.node

LIST = "/v2/lbaas/loadbalancers"
SECRET = "correct horse: battery"


def hashed(password: str, rounds: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def certify(directory: Path, name: str = "localhost") -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    (directory / "cert.pem").write_bytes(made.public_bytes(pem))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def options(directory: Path, **more: Any) -> Settings:
    users = directory / "htpasswd"
    if not users.exists():
        lines = [f"{user}:{hashed(SECRET)}\n" for user in ("ann", "bob", "eve", "ops")]
        users.write_text("# users\n\n" + "".join(lines))
        certify(directory)
    api = ApiSettings(
        bind_port=0,
        auth_strategy="http_basic",
        http_basic_auth_user_file=str(users),
        http_basic_admin_users=("ops",),
        http_basic_reader_users=("eve",),
        http_basic_user_projects={"eve": "ann"},
        tls_certificate_file=str(directory / "cert.pem"),
        tls_key_file=str(directory / "key.pem"),
        enabled_provider_drivers={"noop_driver": "-"},
        default_provider_driver="noop_driver",
    )
    return Settings(api_settings=dataclasses.replace(api, **more))


class Served:
    """The API over TLS."""

    def __init__(self, directory: Path, store: Store, **more: Any) -> None:
        settings = options(directory, **more)
        services = program.services(settings, store, embedded_network(), LocalWakeups())
        self.server = serve.Server(program.application(services), settings)
        self.context = ssl.create_default_context(cafile=str(directory / "cert.pem"))
        self.server.start()

    def ask(
        self,
        method: str,
        path: str,
        user: str = "",
        password: str = SECRET,
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, bytes, dict[str, str]]:
        client = http.client.HTTPSConnection("localhost", self.server.port, timeout=30, context=self.context)
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        client.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = client.getresponse()
        found = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        client.close()
        assert found[2]["x-openstack-request-id"].startswith("req-")
        return found


@pytest.fixture
def api(tmp_path: Path, store: Store) -> Iterator[Served]:
    api = Served(tmp_path, store)
    yield api
    api.server.stop()


def test_users(api: Served) -> None:
    status, body, _ = api.ask("POST", LIST, "ann", body=b'{"loadbalancer": {"name": "web"}}')
    assert (status, b'"project_id":"ann"' in body) == (201, True)
    for user, seen in (("ann", 1), ("bob", 0), ("eve", 1), ("ops", 1)):
        status, body, _ = api.ask("GET", LIST, user)
        assert (status, body.count(b'"name":"web"')) == (200, seen)
    assert api.ask("POST", LIST, "eve", body=b'{"loadbalancer": {}}')[0] == 403
    assert api.ask("POST", LIST, "bob", body=b'{"loadbalancer": {"project_id": "ann"}}')[0] == 403
    assert api.ask("POST", LIST, "ops", body=b'{"loadbalancer": {"project_id": "bob"}}')[0] == 201


def test_who_is_not_known(api: Served) -> None:
    assert api.ask("GET", "/")[0] == 200
    for user, password in (
        ("", ""),
        ("ann", "wrong"),
        ("nobody", SECRET),
        ("ann", ""),
        ("ann", SECRET + "\0"),
    ):
        status, body, headers = api.ask("GET", LIST, user, password)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Hydria", charset="UTF-8"')
        assert b'"code":401,"title":"Unauthorized"' in body
    for header in (
        "Basic",
        "Basic !",
        "Bearer x",
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + "x" * 9999,
    ):
        assert api.ask("GET", LIST, Authorization=header)[0] == 401
    assert api.ask("GET", "/v2")[0] == api.ask("GET", "/nowhere")[0] == 401


def test_large_answers_and_bodies(api: Served) -> None:
    for number in range(40):
        body = b'{"loadbalancer": {"description": "%s", "name": "%d"}}' % (b"x" * 250, number)
        assert api.ask("POST", LIST, "ann", body=body)[0] == 201
    status, body, _ = api.ask("GET", LIST, "ann")
    assert (status, body.count(b"x" * 250)) == (200, 40)
    assert api.ask("POST", LIST, "ann", body=b" " * 100_000 + b"{}")[0] == 400
    assert api.ask("POST", LIST, "ann", body=b" " * 200_000)[0] == 413


def test_silent_and_strange_clients_hinder_nobody(api: Served) -> None:
    silent = [socket.create_connection(("127.0.0.1", api.server.port)) for _ in range(12)]
    for number, client in enumerate(silent):
        if number % 3:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" if number % 3 == 1 else b"\x16\x03\x01\x02")
    began = time.monotonic()
    assert api.ask("GET", LIST, "ann")[0] == 200
    assert time.monotonic() - began < 5
    with suppress(ConnectionResetError):
        assert silent[1].recv(100) == b""  # no TLS
    for client in silent:
        client.close()
    assert api.ask("GET", LIST, "ann")[0] == 200


def test_a_known_user_costs_little(tmp_path: Path, store: Store) -> None:
    options(tmp_path)
    (tmp_path / "htpasswd").write_text(f"ann:{hashed(SECRET, 12)}\n")
    api = Served(tmp_path, store)
    try:
        began = time.process_time()
        api.ask("GET", LIST, "ann")
        first = time.process_time() - began
        began = time.process_time()
        for _ in range(10):
            assert api.ask("GET", LIST, "ann")[0] == 200
        assert time.process_time() - began < 5 * first  # ten times bcrypt would be twice that
        assert api.ask("GET", LIST, "ann", "wrong")[0] == 401
    finally:
        api.server.stop()


def test_a_new_password_counts_soon(api: Served, tmp_path: Path) -> None:
    assert api.ask("GET", LIST, "ann")[0] == 200
    (tmp_path / "htpasswd").write_text(f"ann:{hashed('new')}\n")
    deadline = time.monotonic() + 10
    while api.ask("GET", LIST, "ann")[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert api.ask("GET", LIST, "ann", "new")[0] == 200
    assert api.ask("GET", LIST, "bob")[0] == 401


def test_passwords_in_the_clear_are_refused(tmp_path: Path) -> None:
    plain = {"tls_certificate_file": "", "tls_key_file": "", "bind_host": "0.0.0.0"}
    with pytest.raises(Forbidden, match="passwords would go over the network in the clear"):
        serve.refuse_open_doors(options(tmp_path, **plain))
    serve.refuse_open_doors(options(tmp_path, **{**plain, "bind_host": "127.0.0.1"}))
    serve.refuse_open_doors(options(tmp_path, bind_host="0.0.0.0"))
    proxied = OsloMiddlewareSettings(enable_proxy_headers_parsing=True)
    serve.refuse_open_doors(dataclasses.replace(options(tmp_path, **plain), oslo_middleware=proxied))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann:{SHA}x\n", "line 1 is not a user name, a colon and a bcrypt hash"),
        ("\nann secret\n", "line 2 is not"),
        (f"ann:{hashed('x')}\nann:{hashed('y')}\n", "line 2 names ann again"),
        (f":{hashed('x')}\n", "line 1"),
        (f"{'x' * 40}:{hashed('x')}\n", "line 1: x+ cannot name a user"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    settings = options(tmp_path)
    (tmp_path / "htpasswd").write_text(text)
    with pytest.raises(Invalid, match=message) as raised:
        program.check(settings)
    assert "secret" not in str(raised.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        program.check(options(tmp_path, http_basic_auth_user_file="/nowhere"))
    with pytest.raises(Invalid, match="No such file"):
        program.check(options(tmp_path, tls_key_file="/nowhere"))
    (tmp_path / "key.pem").write_text("")
    with pytest.raises(Invalid, match="no certificate with its unencrypted private key"):
        program.check(options(tmp_path))
    with pytest.raises(Invalid, match="leave it in one"):
        program.check(options(tmp_path, tls_certificate_file="", http_basic_admin_users=("eve",)))
