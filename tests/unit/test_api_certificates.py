"""References to certificates in requests: what is refused, in whose words, and what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from hydria.api import program
from hydria.api.app import make_app
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.messages import LocalWakeups
from hydria.model import secrets
from hydria.model.secrets import SecretKind
from hydria.settings import DefaultSettings, Settings
from tests import certificates
from tests.databases import new_store
from tests.unit.api_writing import embedded_network

CA = certificates.make("Test CA", ca=True)
WEB = certificates.make("www.example.org", CA)
BARBICAN = "https://barbican.example/key-manager/v1/containers/1b1f3f63-3c40-4f9d-ae63-1c5c4e2f6c1d"


@pytest.fixture
def api(tmp_path: Path) -> testing.TestClient:
    settings = Settings(DEFAULT=DefaultSettings(state_dir=str(tmp_path / "state")))
    store = LocalCertificateManager(settings)
    store.add(Secret("default", "web", SecretKind.CERTIFICATE, WEB.pem, WEB.key_pem))
    store.add(Secret("default", "ca", SecretKind.CA, CA.pem))
    services = program.services(settings, new_store(tmp_path), embedded_network(), LocalWakeups())
    return testing.TestClient(make_app(services), headers={"Host": "localhost"})


def order(api: testing.TestClient, **attributes: Any) -> testing.Result:
    listener = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, **attributes}
    return api.simulate_post("/v2/lbaas/loadbalancers", json={"loadbalancer": {"listeners": [listener]}})


@pytest.mark.parametrize(
    "reference", ["local:web", "local://store/web", secrets.listed_reference("web"), "local://store/w%65b"]
)
def test_every_spelling_is_taken_and_shown_as_it_came(api: testing.TestClient, reference: str) -> None:
    answer = order(api, default_tls_container_ref=reference, sni_container_refs=[reference])
    assert answer.status_code == 201, answer.text
    (listener,) = answer.json["loadbalancer"]["listeners"]
    assert listener["default_tls_container_ref"] == reference
    assert listener["sni_container_refs"] == [reference]


@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({"default_tls_container_ref": BARBICAN}, [BARBICAN]),
        ({"default_tls_container_ref": "local://store/gone"}, ["local://store/gone"]),
        (
            {
                "default_tls_container_ref": BARBICAN,
                "sni_container_refs": ["local:web", "local:a", "local:b"],
            },
            ["local:a", "local:b", BARBICAN],
        ),
        (
            {
                "default_tls_container_ref": "local:web",
                "client_ca_tls_container_ref": "local:no-ca",
                "client_crl_container_ref": "local:no-crl",
                "client_authentication": "MANDATORY",
            },
            ["local:no-ca", "local:no-crl"],
        ),
    ],
)
def test_octavias_words_for_all_that_is_missing(
    api: testing.TestClient, attributes: dict[str, Any], missing: list[str]
) -> None:
    answer = order(api, **attributes)
    assert answer.status_code == 400
    assert answer.json["faultstring"] == f"Could not retrieve certificate: {missing}"


def test_what_is_there_and_is_something_else(api: testing.TestClient) -> None:
    answer = order(api, default_tls_container_ref="local://store/ca")
    assert answer.status_code == 400
    assert answer.json["faultstring"] == "local://store/ca is a ca, where a certificate is needed."
