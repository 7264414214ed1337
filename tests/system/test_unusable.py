"""One unusable input of one object, in a whole deployment: its neighbors change, serve and are replaced."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from hydria import settings
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.model.secrets import SecretKind, reference_to
from tests import certificates
from tests.system.deployment import HYDRIA, Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system

HOST = "www.example.org"
PROJECT = "default"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("unusable")
    directory.chmod(0o755)
    options = "[certificates]\nrenewal_interval = 0.5"
    with deployed(Deployment(directory, "10.231", options, embedded=True)) as running:
        yield running


@pytest.fixture(scope="module")
def member(deployment: Deployment) -> Iterator[int]:
    with web_server(deployment.gateway) as port:
        yield port


def secret(deployment: Deployment, action: str, *arguments: str) -> str:
    """What ``hydria certificate`` says."""
    command = [*HYDRIA, "certificate", action, *arguments, "--config-file", str(deployment.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else done.stderr


def keep(deployment: Deployment, name: str, pem: str, key: str) -> str:
    """A certificate in the store; its reference."""
    directory = deployment.state_dir / "mine"
    directory.mkdir(exist_ok=True)
    (directory / "web.pem").write_text(pem)
    (directory / "web.key").write_text(key)
    pair = ("--certificate", str(directory / "web.pem"), "--private-key", str(directory / "web.key"))
    return secret(deployment, "add", name, *pair).strip()


def good(deployment: Deployment, name: str) -> str:
    made = certificates.make(HOST)
    return keep(deployment, name, made.pem, made.key_pem)


def keep_weak(deployment: Deployment) -> str:
    """One that was kept before they were judged: its key is too short for HAProxy's TLS."""
    pem, key = weak()
    store = LocalCertificateManager(settings.load([str(deployment.config)]))
    store.add(Secret(PROJECT, "weak", SecretKind.CERTIFICATE, pem, key))
    return reference_to("weak")


def weak() -> tuple[str, str]:
    key, now = rsa.generate_private_key(public_exponent=65537, key_size=1024), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def order(deployment: Deployment, name: str, member: int, *references: str) -> dict[str, Any]:
    """A load balancer with HTTP at port 80 and a listener for each certificate from port 443 on."""
    pool = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": deployment.gateway, "protocol_port": member}],
    }  # fmt: skip
    listeners: list[dict[str, Any]] = [{"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}]
    listeners += [
        {
            "protocol": "TERMINATED_HTTPS", "protocol_port": 443 + number, "default_pool": {"name": "p"},
            "default_tls_container_ref": reference,
        }
        for number, reference in enumerate(references)
    ]  # fmt: skip
    body = {"loadbalancer": {"name": name, "listeners": listeners}}
    made: dict[str, Any] = deployment.call("POST", "/loadbalancers", body)["loadbalancer"]
    return made


def encrypted(vip: str, port: int = 443) -> str:
    """What is answered over TLS; "" for nothing."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(vip, port, context=context, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def faults(deployment: Deployment, balancer_id: str) -> dict[str, str]:
    """Where in the status tree there is one -> what it says."""
    found = {}

    def look(item: Any) -> None:
        if isinstance(item, list):
            for each in item:
                look(each)
        elif isinstance(item, dict):
            if "fault" in item and "id" in item:
                assert item["provisioning_status"] == "ERROR"
                found[item["id"]] = item["fault"]["message"]
            for each in item.values():
                look(each)

    look(deployment.call("GET", f"/loadbalancers/{balancer_id}/status")["statuses"])
    return found


def amphorae(deployment: Deployment, balancer_id: str) -> list[dict[str, Any]]:
    answer = deployment.request("GET", f"/amphorae?loadbalancer_id={balancer_id}", root="/v2/octavia")
    found: list[dict[str, Any]] = answer.body["amphorae"]
    return found


def kill_amphora(deployment: Deployment, balancer_id: str) -> str:
    """kill -9 of all processes of the one that serves; its id."""
    (amphora,) = amphorae(deployment, balancer_id)
    (namespace,) = [name for name in deployment.namespaces() if amphora["id"][:8] in name]
    for process in deployment.processes_of(namespace):
        os.kill(process, signal.SIGKILL)
    return str(amphora["id"])


def test_a_certificate_that_is_gone(deployment: Deployment, member: int) -> None:
    reference = good(deployment, "gone")
    made = order(deployment, "gone", member, reference)
    balancer_id, vip = made["id"], made["vip_address"]
    deployment.await_status(balancer_id)
    wait_for(lambda: encrypted(vip) == get(vip) == "ok", 10, "both listeners serve")
    listeners = deployment.call("GET", f"/listeners?load_balancer_id={balancer_id}")["listeners"]
    plain, secure = sorted(listeners, key=lambda each: each["protocol_port"])

    said = secret(deployment, "remove", reference)
    assert f"listener {secure['id']}" in said
    assert "--force" in said
    assert "removed" in secret(deployment, "remove", reference, "--force")

    # Whose fault it is says so; all others change, and the amphora goes on with what it has.
    wait_for(lambda: list(faults(deployment, balancer_id)) == [secure["id"]], 10, "the listener says so")
    assert f"Could not retrieve certificate: ['{reference}']" in faults(deployment, balancer_id)[secure["id"]]
    body = {"member": {"address": deployment.gateway, "protocol_port": 9, "weight": 0}}
    deployment.call("POST", f"/pools/{plain['default_pool_id']}/members", body)
    deployment.await_status(balancer_id)
    assert list(faults(deployment, balancer_id)) == [secure["id"]]
    assert encrypted(vip) == get(vip) == "ok"

    # A new amphora comes up with all that is usable, once.
    dead = kill_amphora(deployment, balancer_id)
    shown = lambda: deployment.show(balancer_id)["operating_status"]  # noqa: E731
    wait_for(lambda: shown() == "ERROR", 15, "nobody serves, and that is said")
    wait_for(lambda: get(vip) == "ok", 20, "port 80 serves again")
    wait_for(lambda: len(amphorae(deployment, balancer_id)) == 1, 10, "there is one amphora")
    assert amphorae(deployment, balancer_id)[0]["id"] != dead
    assert encrypted(vip) == ""
    wait_for(
        lambda: {each: deployment.call("GET", f"/listeners/{each}")["listener"]["operating_status"]
                 for each in (plain["id"], secure["id"])} == {plain["id"]: "ONLINE", secure["id"]: "ERROR"},
        10, "what serves is ONLINE, and what does not is not",
    )  # fmt: skip
    replaced = deployment.log("all").count("replace of generation")
    assert replaced == 1

    # Disabled, it needs no certificate; enabled again it does.
    for enabled in (False, True):
        deployment.call("PUT", f"/listeners/{secure['id']}", {"listener": {"admin_state_up": enabled}})
        deployment.await_status(balancer_id)
        assert bool(faults(deployment, balancer_id)) == enabled

    # Nobody tries again until there is a reason to; then it heals by itself.
    def passes() -> int:
        return deployment.log("all").count(f"Load balancer {balancer_id}: configure of generation")

    before = passes()
    assert good(deployment, "gone") == reference
    wait_for(lambda: encrypted(vip) == "ok", 10, "it serves again")
    wait_for(lambda: not faults(deployment, balancer_id), 10, "and says so")
    assert passes() == before + 1
    deployment.call("DELETE", f"/loadbalancers/{balancer_id}?cascade=true")


def test_a_certificate_that_haproxy_refuses(deployment: Deployment, member: int) -> None:
    fine, broken = good(deployment, "fine"), keep_weak(deployment)
    made = order(deployment, "weak", member, fine, broken)
    balancer_id, vip = made["id"], made["vip_address"]
    deployment.await_status(balancer_id)
    wait_for(lambda: encrypted(vip) == get(vip) == "ok", 10, "the others serve")
    ((identifier, said),) = faults(deployment, balancer_id).items()
    assert deployment.call("GET", f"/listeners/{identifier}")["listener"]["protocol_port"] == 444
    assert f"Could not use certificate: ['{broken}']" in said
    assert "HAProxy says" in said
    assert encrypted(vip, 444) == ""
    # Repaired by another certificate.
    body = {"listener": {"default_tls_container_ref": fine}}
    deployment.call("PUT", f"/listeners/{identifier}", body)
    deployment.await_status(balancer_id)
    wait_for(lambda: encrypted(vip, 444) == "ok", 10, "it serves, too")
    assert faults(deployment, balancer_id) == {}
    deployment.call("DELETE", f"/loadbalancers/{balancer_id}?cascade=true")
