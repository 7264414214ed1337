"""Whoever has another certificate of the CA that the controllers' is of: no agent obeys."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.wire.boot import CONTROLLER
from tests import driver_lab
from tests.node import agent_lab
from tests.node.agent_lab import LB_NETWORK, Lab

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with agent_lab.running(tmp_path_factory.mktemp("lab")) as running:
        yield running


def show(lab: Lab, certificate: Path, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> int:
    """The status of an answer to who shows this certificate, 0 for none."""

    def ask() -> int:
        context = ssl.create_default_context(cafile=lab.authority.certificate)
        context.maximum_version = most
        context.load_cert_chain(certificate)
        connection = http.client.HTTPSConnection(LB_NETWORK[1], 9443, context=context, timeout=20)
        try:
            connection.request("GET", "/v1/info")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    return lab.outside.run(ask)


def issue(
    lab: Lab, path: Path, *, name: str = CONTROLLER, alternative: str = "", purposes: tuple[object, ...] = ()
) -> Path:
    authority = lab.authority
    key = ec.generate_private_key(ec.SECP256R1())
    builder = authority._builder(name, key)
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), False)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    authority._write(path, builder.sign(authority._key, hashes.SHA256()), key)
    return path


REFUSED = {
    "an employee's laptop": {"name": "laptop", "alternative": "laptop", "purposes": (Purpose.CLIENT_AUTH,)},
    "no purpose": {"alternative": CONTROLLER},
    "a server's": {"alternative": CONTROLLER, "purposes": (Purpose.SERVER_AUTH,)},
    "another purpose": {"alternative": CONTROLLER, "purposes": (Purpose.EMAIL_PROTECTION,)},
    "a subject alone": {"purposes": (Purpose.CLIENT_AUTH,)},
    "a name below it": {"alternative": f"x.{CONTROLLER}", "purposes": (Purpose.CLIENT_AUTH,)},
    "a wildcard": {"alternative": "*", "purposes": (Purpose.CLIENT_AUTH,)},
}


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_no_other_certificate_of_the_ca_is_obeyed(
    lab: Lab, tmp_path: Path, fields: dict[str, object], most: ssl.TLSVersion
) -> None:
    assert show(lab, issue(lab, tmp_path / "other.pem", **fields), most) == 0  # type: ignore[arg-type]
    assert show(lab, lab.authority.issue(CONTROLLER), most) == 200


def test_the_log_says_who_was_turned_away(lab: Lab, tmp_path: Path) -> None:
    laptop = issue(lab, tmp_path / "l.pem", alternative="laptop", purposes=(Purpose.CLIENT_AUTH,))

    def noted() -> bool:
        assert show(lab, laptop) == 0
        return "for ['laptop'], not hydria-controller" in lab.log

    agent_lab.eventually(noted, 20)  # one line in ten seconds


def test_more_purposes_are_no_fewer(lab: Lab, tmp_path: Path) -> None:
    purposes = (Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH)
    assert show(lab, issue(lab, tmp_path / "both.pem", alternative=CONTROLLER, purposes=purposes)) == 200


def test_what_the_embedded_ca_makes_for_controllers_is_obeyed(tmp_path: Path) -> None:
    authority = LocalCertificateAuthority(driver_lab.settings(tmp_path))
    found = x509.load_pem_x509_certificate(authority.client_certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.DNSName) == [CONTROLLER]
    assert list(usage) == [Purpose.CLIENT_AUTH]
