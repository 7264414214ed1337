"""A store in which every reference is something: for control planes without a data plane."""

from __future__ import annotations

import threading
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hydria.drivers.certificates import local_ca, material
from hydria.drivers.certificates.manager import Certificate
from hydria.model.secrets import SecretKind
from hydria.settings import Settings

_DAY = timedelta(days=1)


class NoopCertificateManager:
    """One certificate of its own for all, made when the first is asked for."""

    def __init__(self, settings: Settings) -> None:  # noqa: ARG002  (what every driver gets)
        self._lock = threading.Lock()
        self._made: tuple[Certificate, str] | None = None

    def certificate(self, reference: str, project_id: str) -> Certificate:  # noqa: ARG002
        """The certificate."""
        return self._both()[0]

    def text(self, reference: str, project_id: str, kind: SecretKind) -> str:  # noqa: ARG002
        """The same as a CA, and an empty list of what it has revoked."""
        certificate, crl = self._both()
        return crl if kind is SecretKind.CRL else certificate.certificate

    def version(self, reference: str, project_id: str) -> str:  # noqa: ARG002
        """Nothing is ever renewed."""
        return ""

    def _both(self) -> tuple[Certificate, str]:
        with self._lock:
            if self._made is None:
                self._made = _make()
            return self._made


def _make() -> tuple[Certificate, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = local_ca.named("noop")
    certificate = local_ca.unsigned(name, name, key, _DAY).sign(key, hashes.SHA256())
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(certificate.not_valid_before_utc)
        .next_update(certificate.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    made = material.of_pem(pem, local_ca.pem_of_key(key))
    return made, revoked.public_bytes(serialization.Encoding.PEM).decode()
