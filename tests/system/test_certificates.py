"""Tenants' certificates from the command line to the wire, and renewed while traffic flows."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import certificates
from tests.certificates import Made
from tests.system.deployment import HYDRIA, Deployment, Traffic, deployed, wait_for, web_server

pytestmark = pytest.mark.system

HOST = "www.example.org"
REFERENCE = "local://store/web"
CA = certificates.make("Test CA", ca=True)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("certificates")
    directory.chmod(0o755)
    options = "[certificates]\nrenewal_interval = 0.5"
    with deployed(Deployment(directory, "10.223", options, embedded=True)) as running:
        yield running


def certificate(deployment: Deployment, *arguments: object) -> str:
    """What ``hydria certificate`` says."""
    done = subprocess.run(
        [*HYDRIA, "certificate", *map(str, arguments), "--config-file", str(deployment.config)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return (done.stdout if done.returncode == 0 else done.stderr).strip()


def keep(deployment: Deployment, name: str, made: Made, *more: str) -> str:
    files = deployment.state_dir / "mine"
    files.mkdir(exist_ok=True)
    (files / "web.pem").write_text(made.pem)
    (files / "web.key").write_text(made.key_pem)
    pair = ("--certificate", files / "web.pem", "--private-key", files / "web.key")
    return certificate(deployment, "add", name, *pair, *more)


def shown(vip: str, name: str = HOST) -> int:
    """The serial number of the certificate that the VIP shows; 0 for none."""
    context = ssl.create_default_context(cadata=CA.pem)
    try:
        with (
            socket.create_connection((vip, 443), 2) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            found = connection.getpeercert()
    except OSError:
        return 0
    assert found is not None
    return int(str(found["serialNumber"]), 16)


def https(reference: str, port: int, gateway: str, **more: Any) -> dict[str, Any]:
    pool = {
        "name": "p",
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": gateway, "protocol_port": port}],
    }
    return {
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "default_tls_container_ref": reference,
        "default_pool": pool,
        **more,
    }


def test_from_the_command_line_to_the_wire(deployment: Deployment) -> None:
    first, second = certificates.make(HOST, CA), certificates.make(HOST, CA)
    assert keep(deployment, "web", first) == REFERENCE
    assert HOST in certificate(deployment, "list")
    assert "exists" in keep(deployment, "web", second) or "already" in keep(deployment, "web", second)
    with web_server(deployment.gateway) as port:
        plain = {"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "p"}}
        body = {"name": "tls", "listeners": [https(REFERENCE, port, deployment.gateway), plain]}
        made = deployment.call("POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        deployment.await_status(made["id"])
        vip = made["vip_address"]
        assert shown(vip) == first.certificate.serial_number
        assert answer(vip) == "ok"
        (namespace,) = deployment.namespaces()
        before = {pid for pid, name in deployment.processes_of(namespace).items() if name == "haproxy"}
        with Traffic(vip) as traffic:
            assert keep(deployment, "web", second, "--replace") == REFERENCE
            wait_for(lambda: shown(vip) == second.certificate.serial_number, 15, "the renewed one is shown")
        assert traffic.answered
        assert not traffic.failed
        after = {pid for pid, name in deployment.processes_of(namespace).items() if name == "haproxy"}
        assert after == before
        deployment.await_status(made["id"])
        # Nothing of the key is in a log, nor on a disk but sealed.
        line = second.key_pem.splitlines()[1].encode()
        for path in Path(deployment.state_dir).rglob("*"):
            if path.is_file() and path.parent.name != "mine":
                assert line not in path.read_bytes(), path
        listener = made["listeners"][0]["id"]
        assert f"listener {listener}" in certificate(deployment, "remove", "local:web")
        assert "removed" in certificate(deployment, "remove", "local:web", "--force")
        deployment.call("PUT", f"/listeners/{listener}", {"listener": {"name": "again"}})
        deployment.await_status(made["id"])
        assert shown(vip) == second.certificate.serial_number
        assert keep(deployment, "web", first) == REFERENCE
        deployment.await_status(made["id"])
        wait_for(lambda: shown(vip) == first.certificate.serial_number, 15, "the first one is shown again")
        deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")


def answer(vip: str) -> str:
    context = ssl.create_default_context(cadata=CA.pem)
    context.check_hostname = False
    connection = http.client.HTTPSConnection(vip, context=context, timeout=5)
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("local:missing", "Could not retrieve certificate: ['local:missing']"),
        ("http://secrets.example/v1/1", "Could not retrieve certificate: ['http://secrets.example/v1/1']"),
        ("local:authority", "local:authority is a ca, where a certificate is needed"),
    ],
)
def test_what_cannot_be_used_is_refused(deployment: Deployment, reference: str, said: str) -> None:
    file = deployment.state_dir / "ca.pem"
    file.write_text(CA.pem)
    certificate(deployment, "add", "authority", "--ca", file, "--replace")
    body = {"loadbalancer": {"name": "x", "listeners": [https(reference, 1, deployment.gateway)]}}
    answer = deployment.request("POST", "/loadbalancers", body)
    assert answer.status == 400
    assert said in answer.body["faultstring"]
    assert deployment.call("GET", "/loadbalancers?name=x")["loadbalancers"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x"), "Give --certificate with --private-key"),
        (("add", "x", "--certificate", "nowhere"), "Give --certificate with --private-key"),
        (("add", "x", "--ca", "/nowhere"), "Cannot read /nowhere"),
        (("show", "http://secrets.example/v1/1"), "looks like local://store/NAME"),
        (("show", "local:nothing"), "Secret local:nothing not found."),
        (("remove", "local:nothing"), "Secret local:nothing not found."),
    ],
)
def test_commands_say_what_is_wrong(deployment: Deployment, arguments: tuple[str, ...], said: str) -> None:
    assert said in certificate(deployment, *arguments)
