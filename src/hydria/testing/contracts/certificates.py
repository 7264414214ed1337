"""What every certificate authority for amphorae must do (drivers/certificates/interface.py)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hydria.drivers.certificates.interface import CertificateAuthority

_AMPHORA = "3e1a5c7e-4d2b-4b7a-9a53-0c6a5f3c2d10"
_STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # the default from Python 3.13 on


class CertificateAuthorityContract:
    """For all authorities. Fixtures: ``authority``."""

    def test_a_certificate_names_its_amphora(self, authority: CertificateAuthority) -> None:
        issued = authority.issue(_AMPHORA)
        certificate = x509.load_pem_x509_certificate(issued.pem)
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name.value == _AMPHORA
        assert names.get_values_for_type(x509.DNSName) == [_AMPHORA]
        assert issued.expires == certificate.not_valid_after_utc > datetime.now(UTC)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"

    def test_every_certificate_has_a_key_of_its_own(self, authority: CertificateAuthority) -> None:
        one, other = (x509.load_pem_x509_certificate(authority.issue(_AMPHORA).pem) for _ in range(2))
        assert one.serial_number != other.serial_number
        assert one.public_key() != other.public_key()

    def test_controller_and_amphora_trust_each_other(
        self, authority: CertificateAuthority, tmp_path: Path
    ) -> None:
        client = _client(authority, authority.client_certificate)
        assert _shake_hands(client, _server(authority, tmp_path), _AMPHORA) == "TLSv1.3"

    def test_an_amphora_is_not_taken_for_another(
        self, authority: CertificateAuthority, tmp_path: Path
    ) -> None:
        client = _client(authority, authority.client_certificate)
        with pytest.raises(ssl.SSLCertVerificationError):
            _shake_hands(client, _server(authority, tmp_path), "3e1a5c7e-0000-4000-8000-000000000000")

    def test_an_amphora_gives_no_orders_to_others(
        self, authority: CertificateAuthority, tmp_path: Path
    ) -> None:
        stolen = tmp_path / "stolen.pem"
        stolen.write_bytes(authority.issue(_AMPHORA).pem)
        with pytest.raises(ssl.SSLError):
            _shake_hands(_client(authority, stolen), _server(authority, tmp_path), _AMPHORA)

    def test_nobody_gives_orders_without_a_certificate(
        self, authority: CertificateAuthority, tmp_path: Path
    ) -> None:
        with pytest.raises(ssl.SSLError):
            _shake_hands(_client(authority, None), _server(authority, tmp_path), _AMPHORA)

    def test_secrets_are_not_shown(self, authority: CertificateAuthority) -> None:
        assert "PRIVATE" not in repr(authority.issue(_AMPHORA))
        for path in (authority.client_certificate,):
            assert path.stat().st_mode & 0o077 == 0


def _client(authority: CertificateAuthority, certificate: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= _STRICT
    context.load_verify_locations(authority.server_ca)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def _server(authority: CertificateAuthority, directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_flags |= _STRICT
    context.verify_mode = ssl.CERT_REQUIRED
    own = directory / "server.pem"
    own.write_bytes(authority.issue(_AMPHORA).pem)
    context.load_cert_chain(own)
    context.load_verify_locations(cadata=authority.client_ca_pem.decode())
    return context


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str | None:
    """Both sides of a TLS connection, without a network; SSLError from whoever refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    done = set[ssl.SSLObject]()
    for side in (near, far, near, far):
        if side not in done:
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert len(done) == 2
    return near.version()
