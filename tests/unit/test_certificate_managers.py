"""The embedded store of secrets, and what is made of certificates as they come."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from openstack.key_manager.v1._format import HREFToUUID

from hydria.drivers.certificates import material
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.drivers.certificates.manager import ForeignReference, versions
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.model import secrets
from hydria.model.errors import Conflict, DriverError, Invalid, NotFound
from hydria.model.secrets import SecretKind
from hydria.settings import CertificatesSettings, DefaultSettings, Settings
from tests import certificates

CA = certificates.make("Test CA", ca=True)
WEB = certificates.make("www.example.org", CA, names=["example.org"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(DEFAULT=DefaultSettings(state_dir=str(tmp_path)))


@pytest.fixture
def manager(settings: Settings) -> LocalCertificateManager:
    return LocalCertificateManager(settings)


def web(project: str = "p1", name: str = "web", made: certificates.Made = WEB) -> Secret:
    return Secret(project, name, SecretKind.CERTIFICATE, made.pem + CA.pem, made.key_pem)


def test_what_is_kept_can_be_had(manager: LocalCertificateManager) -> None:
    manager.add(web())
    found = manager.certificate("local:web", "p1")
    assert found.bundle == WEB.pem + CA.pem + WEB.key_pem
    assert found.names == ("www.example.org", "example.org")
    manager.add(Secret("p1", "ca", SecretKind.CA, CA.pem))
    assert manager.text("local:ca", "p1", SecretKind.CA) == CA.pem
    assert [secret.reference for secret in manager.list("p1")] == ["local://store/ca", "local://store/web"]


def spellings(name: str) -> list[str]:
    return [f"local:{name}", secrets.reference_to(name), secrets.listed_reference(name)]


@pytest.mark.parametrize("name", ["web", "a/b", "100%", "ä ö", "..", "a?b#c", "local:web"])
def test_a_reference_has_several_spellings(name: str) -> None:
    assert {secrets.name_of(reference) for reference in spellings(name)} == {name}
    assert {secrets.identity(reference) for reference in spellings(name)} == {f"local:{name}"}
    for reference in spellings(name)[1:]:  # what openstacksdk takes for a URL, and makes an id of
        assert HREFToUUID.deserialize(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "local://store/web/32d2a3d1-1156-5b2a-ae4f-000000000000",
        "local://store/a/b",
        "local://store/%ff",
        "https://barbican.example/v1/containers/1",
    ],
)
def test_references_to_other_stores(manager: LocalCertificateManager, reference: str) -> None:
    assert secrets.identity(reference) == reference
    with pytest.raises(ForeignReference, match=r"is no reference to a secret of this store; one looks like"):
        manager.version(reference, "p1")


def test_a_store_describes_what_it_has_without_keys(manager: LocalCertificateManager) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    manager.add(web())
    manager.add(Secret("p1", "ca", SecretKind.CA, CA.pem))
    manager.add(web("p2", "others"))
    found = list(manager.describe("p1"))
    assert [(each.name, each.kind) for each in found] == [("ca", "ca"), ("web", "certificate")]
    assert found[1].expires == WEB.certificate.not_valid_after_utc
    assert all(before < each.changed <= datetime.now(UTC) for each in found)
    assert "PRIVATE" not in repr(found)


def test_other_projects_have_nothing_of_it(manager: LocalCertificateManager) -> None:
    manager.add(web())
    with pytest.raises(NotFound, match=r"Secret local:web not found\."):
        manager.certificate("local:web", "p2")
    assert list(manager.list("p2")) == []
    manager.add(web("p2"))
    manager.remove("local:web", "p1")
    assert manager.certificate("local:web", "p2")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "ä", "x" * 200, "..", "local:web"])
def test_any_name_is_one(manager: LocalCertificateManager, settings: Settings, name: str) -> None:
    manager.add(web(name=name))
    for reference in spellings(name):
        assert manager.certificate(reference, "p1").names
        assert manager.version(reference, "p1") == manager.version(f"local:{name}", "p1")
    inside = settings.state_dir / "certificates"
    assert all(inside in path.parents for path in settings.state_dir.rglob("*.sealed"))


def test_names_whose_reference_no_listener_takes(manager: LocalCertificateManager) -> None:
    with pytest.raises(
        Invalid, match="would have 651 characters, and listeners take 255: choose a shorter name"
    ):
        manager.add(web(name="%" * 200))


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb"])
def test_some_are_not(manager: LocalCertificateManager, name: str) -> None:
    with pytest.raises(Invalid, match="printable"):
        manager.add(web(name=name))


def test_a_name_is_given_once_unless_it_is_renewed(manager: LocalCertificateManager) -> None:
    manager.add(web())
    before = manager.version("local:web", "p1")
    renewed = certificates.make("www.example.org", CA)
    with pytest.raises(Conflict, match="--replace"):
        manager.add(web(made=renewed))
    assert manager.version("local:web", "p1") == before
    manager.add(web(made=renewed), replace=True)
    assert manager.version("local:web", "p1") != before
    assert manager.certificate("local:web", "p1").private_key == renewed.key_pem


def test_nothing_is_readable_without_the_key(manager: LocalCertificateManager, settings: Settings) -> None:
    # Names that no encoding of something else spells by chance.
    manager.add(web("the-project", "the-certificate"))
    (path,) = settings.state_dir.rglob("*.sealed")
    assert path.stat().st_mode & 0o077 == 0
    assert (settings.state_dir / "certificates.key").stat().st_mode & 0o077 == 0
    for secret in (WEB.key_pem, WEB.pem, "the-certificate", "the-project"):
        assert secret.encode() not in path.read_bytes()
    (settings.state_dir / "certificates.key").unlink()
    with pytest.raises(DriverError, match="was not sealed with the key"):
        LocalCertificateManager(settings).certificate("local:the-certificate", "the-project")


def test_several_programs_make_one_key(settings: Settings) -> None:
    first, second = LocalCertificateManager(settings), LocalCertificateManager(settings)
    first.add(web())
    second.add(web(name="second"))
    assert first.certificate("local:second", "p1") == second.certificate("local:second", "p1")


def test_a_key_file_of_ones_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"not a key")
    options = CertificatesSettings(storage_key_file=str(tmp_path / "mine"))
    with pytest.raises(DriverError, match="holds no key"):
        LocalCertificateManager(dataclasses.replace(settings, certificates=options)).add(web())


@pytest.mark.parametrize(("kind", "needed"), [(SecretKind.CA, "ca"), (SecretKind.CRL, "crl")])
def test_a_secret_is_only_what_it_is(manager: LocalCertificateManager, kind: SecretKind, needed: str) -> None:
    manager.add(web())
    with pytest.raises(Invalid, match=f"local:web is a certificate, where a {needed} is needed"):
        manager.text("local:web", "p1", kind)


def test_a_reference_of_another_kind(manager: LocalCertificateManager) -> None:
    with pytest.raises(ForeignReference, match="looks like local://store/NAME"):
        manager.certificate("http://barbican/v1/secrets/1", "p1")


def test_versions_tell_when_one_of_several_has_changed(manager: LocalCertificateManager) -> None:
    assert versions(manager, [], "p1") == ""
    manager.add(web())
    manager.add(web(name="other"))
    before = versions(manager, ["local:web", "local:other"], "p1")
    assert versions(manager, ["local:other", "local:web"], "p1") == before
    assert versions(manager, ["local://store/other", "local:other", "local://store/web"], "p1") == before
    manager.remove("local:other", "p1")
    assert versions(manager, ["local:web", "local:other"], "p1") != before


# --- material


def test_pkcs12() -> None:
    assert material.of_pkcs12(WEB.pkcs12()).private_key == WEB.key_pem
    for broken in (b"", b"\x30\x80", WEB.pkcs12(b"secret")):
        with pytest.raises(Invalid, match=r"^The PKCS12 bundle is unreadable\."):
            material.of_pkcs12(broken)


def test_pem_that_does_not_fit() -> None:
    other = certificates.make("other")
    with pytest.raises(Invalid, match="not that of the certificate"):
        material.of_pem(WEB.pem.encode(), other.key_pem.encode())
    with pytest.raises(Invalid, match="unreadable"):
        material.of_pem(b"x", other.key_pem.encode())


def test_a_list_of_another_ca() -> None:
    material.check_crl_of(CA.revoking(WEB), CA.pem)
    stranger = certificates.make("Another CA", ca=True)
    with pytest.raises(Invalid, match="not valid for client certificate authority"):
        material.check_crl_of(stranger.revoking(), CA.pem)
    material.check_crl_of(stranger.revoking(), CA.pem + stranger.pem)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP192R1())]
)
def test_openssl_judges_certificates(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    """HAProxy would refuse its configuration with a key that is too short."""
    weak = certificates.signed("weak", key)
    chained = certificates.make("www.example.org", certificates.signed("CA", key, ca=True))
    for pem, key_pem in ((weak.pem, weak.key_pem), (chained.pem + weak.pem, chained.key_pem)):
        with pytest.raises(Invalid, match=r"^OpenSSL cannot serve with the certificate .* key too small\.$"):
            material.of_pem(pem.encode(), key_pem.encode())
    with pytest.raises(Invalid, match=r"key too small\.$"):
        material.of_pkcs12(weak.pkcs12())
    assert material.of_pem(weak.pem.encode(), weak.key_pem.encode(), kept=True)


def test_nothing_but_certificates_and_lists_goes_along() -> None:
    other = certificates.make("Another CA", ca=True)
    broken = "".join(
        f"-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n"
        for what in ("RSA PRIVATE KEY", "TRUSTED CERTIFICATE", "FOO")
    )
    text = f"Our CAs\n\n{CA.pem}\n{broken}{CA.key_pem}{other.pem}"
    assert material.checked_text(text, SecretKind.CA) == CA.pem + other.pem
    lists = [CA.revoking(WEB), other.revoking()]
    text = f"Lists\n{lists[0]}{broken}{CA.key_pem}\n{lists[1]}"
    assert material.checked_text(text, SecretKind.CRL) == "".join(lists)
    material.check_crl_of(text, CA.pem)
    material.check_crl_of(text, other.pem)
    with pytest.raises(Invalid, match="must be in PEM format"):
        material.checked_text(
            f"{lists[0]}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", SecretKind.CRL
        )


def test_texts_are_looked_at() -> None:
    with pytest.raises(Invalid, match="valid x509 PEM format"):
        material.checked_text("x", SecretKind.CA)
    with pytest.raises(Invalid, match="must be in PEM format"):
        material.checked_text(CA.pem, SecretKind.CRL)


def test_noop_knows_every_reference(settings: Settings) -> None:
    noop = NoopCertificateManager(settings)
    assert noop.certificate("anything", "p1").bundle == noop.certificate("else", "p2").bundle
    material.check_crl_of(noop.text("a", "p", SecretKind.CRL), noop.text("b", "p", SecretKind.CA))


def test_only_root_or_the_owner_reads_the_directory(
    manager: LocalCertificateManager, settings: Settings
) -> None:
    manager.add(web())
    assert (settings.state_dir / "certificates").stat().st_mode & 0o077 == 0
