"""The secrets of Hydria's own store in Barbican's words: of the caller's project, and never a payload."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from hydria.api import program
from hydria.api.app import make_app
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.messages import LocalWakeups
from hydria.model.secrets import SecretKind, id_of
from hydria.settings import CertificatesSettings, DefaultSettings, Settings
from hydria.testing.network import FakeNetwork
from tests import certificates
from tests.databases import new_store

CA = certificates.make("Test CA", ca=True)
WEB = certificates.make("www.example.org", CA)
SECRETS, CONTAINERS = "/key-manager/v1/secrets", "/key-manager/v1/containers"


class Scene:
    def __init__(self, directory: Path, manager: str = "local_cert_manager") -> None:
        self.settings = Settings(
            DEFAULT=DefaultSettings(state_dir=str(directory / "state")),
            certificates=CertificatesSettings(cert_manager=manager),
        )
        self.store = LocalCertificateManager(self.settings)
        services = program.services(self.settings, new_store(directory), FakeNetwork(), LocalWakeups())
        self.client = testing.TestClient(make_app(services), headers={"Host": "localhost"})

    def keep(self, name: str, project: str = "default", kind: SecretKind = SecretKind.CERTIFICATE) -> None:
        pair = (WEB.pem, WEB.key_pem) if kind is SecretKind.CERTIFICATE else (CA.pem, "")
        self.store.add(Secret(project, name, kind, *pair), replace=True)

    def get(self, url: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.simulate_get(url, **more)
        assert answer.status_code == status, answer.text
        assert "PRIVATE KEY" not in answer.text
        return answer.json

    def names(self, url: str, **params: Any) -> list[str]:
        found = next(iter(self.get(url, params=params).values()))
        return [each["name"] for each in found]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.keep("web")
    made.keep("api")
    made.keep("ca", kind=SecretKind.CA)
    made.keep("others", project="p2")
    return made


def test_what_a_wizard_needs(scene: Scene) -> None:
    """Horizon takes containers with both parts, and looks up the certificate's part among the secrets."""
    secrets = {each["secret_ref"]: each for each in scene.get(SECRETS)["secrets"]}
    containers = scene.get(CONTAINERS, params={"type": "certificate"})["containers"]
    assert [each["container_ref"] for each in containers] == ["local://store/api", "local://store/web"]
    for each in containers:
        parts = {part["name"]: part["secret_ref"] for part in each["secret_refs"]}
        assert set(parts) == {"certificate", "private_key"}
        secret = secrets[parts["certificate"]]
        assert secret["name"] == each["name"]
        assert secret["expiration"] == f"{WEB.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%S}"
    # What it would offer as a bundle with its key.
    assert not [each for each in secrets.values() if each["secret_type"] == "opaque"]


def test_other_projects_have_their_own(scene: Scene) -> None:
    theirs = {"X-Project-Id": "p2"}
    assert scene.names(SECRETS) == ["api", "ca", "web"]
    (found,) = scene.get(SECRETS, headers=theirs)["secrets"]
    assert found["name"] == "others"
    assert scene.get(f"{SECRETS}/web", 404, headers=theirs)["description"] == "Secret web not found."
    assert scene.get(CONTAINERS, headers={"X-Project-Id": "p3"}) == {"containers": [], "total": 0}


def test_an_item_by_id_and_by_name(scene: Scene) -> None:
    (web,) = (each for each in scene.get(SECRETS)["secrets"] if each["name"] == "web")
    assert web["secret_ref"] == f"local://store/web/{id_of('web')}"
    assert scene.get(f"{SECRETS}/web") == scene.get(f"{SECRETS}/{id_of('web')}") == web
    assert scene.get(f"{CONTAINERS}/{id_of('web')}")["name"] == "web"
    assert scene.get(f"{CONTAINERS}/ca", 404)["description"] == "Container ca not found."


def test_payloads_are_given_to_nobody(scene: Scene) -> None:
    for accepted in ("text/plain", "application/octet-stream", "application/json"):
        refused = scene.get(f"{SECRETS}/web/payload", 403, headers={"Accept": accepted})
        assert refused["description"] == (
            "The payload of secret web is given to nobody: secrets are kept here for load balancers alone."
        )
    for method in ("POST", "PUT", "DELETE"):
        for url in (SECRETS, f"{SECRETS}/web", CONTAINERS):
            assert scene.client.simulate_request(method, url, json={}).status_code == 405


def test_filters_order_and_pages(scene: Scene) -> None:
    for path in scene.settings.state_dir.rglob("*.sealed"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # 2023-11-14T22:13:20
    scene.keep("web")
    assert scene.names(SECRETS, name="web") == ["web"]
    assert scene.names(SECRETS, secret_type="opaque") == []
    assert scene.names(SECRETS, alg="aes") == []
    assert scene.names(CONTAINERS, type="rsa") == []
    assert scene.names(SECRETS, created="gt:2024-01-01T00:00:00") == ["web"]
    assert scene.names(SECRETS, updated="gte:2023-11-14T22:13:20,lt:2023-11-14T23:14:20+01:00") == [
        "api",
        "ca",
    ]
    assert scene.names(SECRETS, expiration="lt:2024-01-01") == []
    assert scene.names(SECRETS, sort="created:desc,name:desc") == ["web", "ca", "api"]
    first = scene.get(SECRETS, params={"limit": 2, "sort": "name:desc"})
    assert [each["name"] for each in first["secrets"]] == ["web", "ca"]
    assert first["total"] == 3
    second = scene.get(first["next"].partition("localhost")[2])
    assert [each["name"] for each in second["secrets"]] == ["api"]
    assert "next" not in second
    assert scene.get(second["previous"].partition("localhost")[2])["secrets"] == first["secrets"]
    assert scene.get(SECRETS, params={"limit": 0}) == {"secrets": [], "total": 3}
    for params in (
        {"limit": "x"},
        {"offset": "-1"},
        {"created": "soon"},
        {"created": "at:2024-01-01"},
        {"sort": "x"},
    ):
        assert scene.get(SECRETS, 400, params=params)["code"] == 400


def test_versions_are_for_everybody(scene: Scene) -> None:
    for url in ("/key-manager", "/key-manager/"):
        (version,) = scene.get(url, headers={"Host": "evil.example"})["versions"]
        assert version["links"][0]["href"] == "http://evil.example/key-manager/v1/"
    assert scene.get("/key-manager/v1")["version"]["id"] == "v1"
    assert scene.client.simulate_get(SECRETS, headers={"Host": "evil.example"}).status_code == 403


def test_a_store_that_lists_nothing_has_no_lists(tmp_path: Path) -> None:
    api = Scene(tmp_path, "noop_cert_manager")
    assert api.client.simulate_get(SECRETS).status_code == 404
