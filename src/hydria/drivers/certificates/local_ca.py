"""The embedded CA: P-256 keys below state_dir, or those that ``[certificates]`` names.

One CA signs both sides; that a certificate is a server's or a client's stands in its extended key usage, so
that an amphora whose key is stolen cannot give orders to others. Extensions are as Python 3.13's strict
verification wants them (RFC 5280 section 4.2).
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hydria.drivers import state_dir
from hydria.drivers.certificates.interface import ServerCertificate
from hydria.model.errors import DriverError
from hydria.settings import Settings
from hydria.wire.boot import CONTROLLER

_log = logging.getLogger(__name__)
_CERTIFICATE, _KEY, _CONTROLLER = "ca.pem", "ca.key", "controller.pem"
_CA_LIFE = timedelta(days=3650)
_EARLIER = timedelta(hours=1)  # clocks differ

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: _PrivateKey


class LocalCertificateAuthority:
    """Issues amphora certificates; several programs may use it at once, also the first time."""

    def __init__(self, settings: Settings) -> None:
        self._options = settings.certificates
        self._root = settings.state_dir
        self._directory = settings.state_dir / "ca"
        self._life = timedelta(seconds=settings.certificates.cert_validity_time)

    def issue(self, common_name: str) -> ServerCertificate:
        """A new key and certificate for an amphora."""
        certificate, pem = self._issue(common_name, ExtendedKeyUsageOID.SERVER_AUTH)
        return ServerCertificate(pem, certificate.not_valid_after_utc)

    @property
    def server_ca(self) -> Path:
        """The CA's certificate."""
        self._authority  # noqa: B018  (makes it)
        return self._paths[0]

    @property
    def client_ca_pem(self) -> bytes:
        """The same CA's certificate."""
        return self._authority.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def client_certificate(self) -> Path:
        """The controllers' certificate and key; a new one when a third of its life is left."""
        path = self._directory / _CONTROLLER
        if not self._fresh(path):
            self._make_directory(self._directory)
            with state_dir.exclusive(self._directory):
                if not self._fresh(path):  # nobody else was faster
                    _, pem = self._issue(CONTROLLER, ExtendedKeyUsageOID.CLIENT_AUTH)
                    with state_dir.as_owner(self._root):
                        state_dir.replace(path, pem)
        return path

    @property
    def _paths(self) -> tuple[Path, Path]:
        if self._configured:
            return Path(self._options.ca_certificate), Path(self._options.ca_private_key)
        return self._directory / _CERTIFICATE, self._directory / _KEY

    @property
    def _configured(self) -> bool:
        given = {bool(self._options.ca_certificate), bool(self._options.ca_private_key)}
        if len(given) > 1:
            raise DriverError("[certificates] ca_certificate and ca_private_key: set both or none.")
        return given.pop()

    @cached_property
    def _authority(self) -> _Authority:
        certificate_path, key_path = self._paths
        if not self._configured and not certificate_path.exists():
            self._make()
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise DriverError(f"Cannot use the CA in {certificate_path} and {key_path}: {error}.") from error
        if not isinstance(key, _PrivateKey) or key.public_key() != certificate.public_key():
            raise DriverError(f"{key_path} is not the private key (EC or RSA) of {certificate_path}.")
        if certificate.not_valid_after_utc < datetime.now(UTC):
            raise DriverError(f"The CA in {certificate_path} expired on {certificate.not_valid_after_utc}.")
        return _Authority(certificate, key)

    def _make(self) -> None:
        """A new CA, key and certificate at once: of several programs that try, one wins."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(f"Hydria CA {secrets.token_hex(4)}")
        builder = unsigned(name, name, key, _CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        staged = self._directory.with_name(f".ca.{secrets.token_hex(4)}")
        certificate = builder.sign(key, hashes.SHA256())
        self._make_directory(staged)
        with state_dir.as_owner(self._root):
            try:
                state_dir.replace(staged / _KEY, pem_of_key(key))
                state_dir.replace(staged / _CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
                with suppress(OSError):  # the directory of whoever was first is not empty
                    staged.rename(self._directory)
                    _log.info("Made a CA for amphora certificates in %s.", self._directory)
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    def _issue(self, common_name: str, usage: x509.ObjectIdentifier) -> tuple[x509.Certificate, bytes]:
        authority = self._authority
        key = ec.generate_private_key(ec.SECP256R1())
        life = min(self._life, authority.certificate.not_valid_after_utc - datetime.now(UTC))
        builder = unsigned(named(common_name), authority.certificate.subject, key, life)
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([usage]), False),
            (x509.SubjectAlternativeName([x509.DNSName(common_name)]), False),
            (_key_identifier(authority.certificate), False),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(authority.key, hashes.SHA256())
        return certificate, certificate.public_bytes(serialization.Encoding.PEM) + pem_of_key(key)

    def _fresh(self, path: Path) -> bool:
        """Whether the controllers' certificate is there, of this CA, and far from its end."""
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        left = found.not_valid_after_utc - datetime.now(UTC)
        life = found.not_valid_after_utc - found.not_valid_before_utc
        return left > life / 3 and found.issuer == self._authority.certificate.subject

    def _make_directory(self, path: Path) -> None:
        try:
            state_dir.make_directory(path, self._root, mode=0o700)
        except OSError as error:
            raise DriverError(f"Cannot make {path}: {error.strerror}.") from error


def unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    """A certificate that is only to be given its purposes and signed."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own identifier, which need not be the usual digest of its key."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]  # EC or RSA
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def named(common_name: str) -> x509.Name:
    """A subject with nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key without a pass phrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
