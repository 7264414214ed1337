"""Certificates for tests, made when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM
_DAY = timedelta(days=1)
# What a CA's key is for: strict verification asks for it.
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Made:
    """A certificate and its key; ``issuer`` is None for one that signed itself."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(_PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def bundle(self) -> str:
        return self.pem + self.key_pem

    def pkcs12(self, password: bytes | None = None) -> bytes:
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return pkcs12.serialize_key_and_certificates(b"x", self.key, self.certificate, None, how)

    def file(self, directory: Path, name: str) -> Path:
        path = directory / name
        path.write_text(self.bundle)
        return path

    def revoking(self, *revoked: Made) -> str:
        """A list of revoked certificates, signed by this CA."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - _DAY).next_update(now + _DAY)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - _DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM).decode()


def identified(builder: x509.CertificateBuilder, key: Key, issuer: Key) -> x509.CertificateBuilder:
    """With the identifiers of both keys, without which Python 3.13's default contexts refuse it (RFC 5280)."""
    of_subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return builder.add_extension(of_subject, critical=False).add_extension(of_issuer, critical=False)


def make(name: str, issuer: Made | None = None, *, ca: bool = False, names: Sequence[str] = ()) -> Made:
    """A certificate of a host or a client, or with ``ca`` of a CA; ``names``: more DNS names."""
    return signed(name, ec.generate_private_key(ec.SECP256R1()), issuer, ca=ca, names=names)


def signed(
    name: str, key: Key, issuer: Made | None = None, *, ca: bool = False, names: Sequence[str] = ()
) -> Made:
    """The same with a key that is there."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    builder = identified(builder, key, issuer.key if issuer else key)
    if ca:
        builder = builder.add_extension(SIGNS, critical=True)
    else:
        dns = [x509.DNSName(each) for each in (name, *names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(dns), critical=False)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
