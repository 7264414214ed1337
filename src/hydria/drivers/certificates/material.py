"""Certificates, keys, CAs and CRLs as they come, made into what can be used, or refused with a reason."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from datetime import datetime
from io import FileIO

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from hydria.drivers.certificates.manager import Certificate
from hydria.model.errors import Invalid, validation
from hydria.model.secrets import SecretKind

_PEM = serialization.Encoding.PEM
_CRL = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_PKCS12_UNREADABLE = (
    "The PKCS12 bundle is unreadable. Please check the PKCS12 bundle validity. In addition, make sure it does"
    " not require a pass phrase. Error: {}"
)


def of_pem(certificates: bytes, private_key: bytes, *, kept: bool = False) -> Certificate:
    """From PEM files: the first certificate is the one that the key belongs to, the others lead to its CA.

    kept: the key was checked when it was taken. To prove an RSA key sound takes OpenSSL tens of milliseconds,
    during which no other thread of this program runs.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificates)
        key = serialization.load_pem_private_key(
            private_key, password=None, unsafe_skip_rsa_key_validation=kept
        )
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"The certificate or its private key is unreadable: {error}. Give PEM files, the key without a"
            " pass phrase."
        ) from error
    made = _certificate(chain[0], key, chain[1:])
    if not kept:
        _judge(made)
    return made


def of_pkcs12(bundle: bytes) -> Certificate:
    """From a PKCS #12 bundle without a pass phrase."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(bundle, None)
    except ValueError as error:
        raise Invalid(_PKCS12_UNREADABLE.format(error)) from error
    if key is None or certificate is None:
        raise Invalid(_PKCS12_UNREADABLE.format("it has no certificate or no private key"))
    made = _certificate(certificate, key, others)
    _judge(made)
    return made


def expiry(certificates: bytes) -> datetime:
    """When the first of these PEM certificates, which have been checked, expires."""
    return x509.load_pem_x509_certificates(certificates)[0].not_valid_after_utc


def checked_text(text: str, kind: SecretKind) -> str:
    """The certificates of CAs or the CRLs of a text, and nothing else of it; Invalid when there are none.

    OpenSSL reads everything else that looks like PEM, and HAProxy refuses what it cannot make sense of. Keys
    of CAs are nothing for amphorae.
    """
    found = _crls(text) if kind is SecretKind.CRL else _ca(text)
    return "".join(each.public_bytes(_PEM).decode() for each in found)


def check_crl_of(crl: str, ca: str) -> None:
    """Raise Invalid unless one of the CA's certificates has signed the list, or one of several."""
    keys = [certificate.public_key() for certificate in _ca(ca)]
    for revoked in _crls(crl):
        if any(revoked.is_signature_valid(key) for key in keys):  # type: ignore[arg-type]  # of any CA
            return
    raise validation("The CRL specified is not valid for client certificate authority reference supplied.")


def _certificate(
    certificate: x509.Certificate, key: PrivateKeyTypes, others: list[x509.Certificate]
) -> Certificate:
    if key.public_key() != certificate.public_key():
        raise Invalid("The private key is not that of the certificate.")
    names = tuple(dict.fromkeys(_names(certificate)))
    if not names:
        raise Invalid("No CN or DNSName(s) found in certificate. The certificate is invalid.")
    return Certificate(
        certificate=certificate.public_bytes(_PEM).decode(),
        private_key=key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        intermediates="".join(other.public_bytes(_PEM).decode() for other in others),
        names=names,
        expires=certificate.not_valid_after_utc,
    )


def _judge(made: Certificate) -> None:
    """Have OpenSSL, with which HAProxy serves, say whether it is good enough: by its security level."""
    # The module ssl reads files alone; this one is in memory.
    with FileIO(os.memfd_create("certificate"), "w") as file:
        file.write(f"{made.certificate}{made.intermediates}{made.private_key}".encode())
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise Invalid(
                f"OpenSSL cannot serve with the certificate and its private key: {reason}."
            ) from error


def _names(certificate: x509.Certificate) -> Iterator[str]:
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield str(attribute.value)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    yield from extension.value.get_values_for_type(x509.DNSName)


def _ca(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise validation(
            "The client authentication CA certificate is invalid. It must be a valid x509 PEM format"
            f" certificate. Error: {error}"
        ) from error


def _crls(text: str) -> list[x509.CertificateRevocationList]:
    try:
        return [x509.load_pem_x509_crl(each.encode()) for each in _CRL.findall(text) or [text]]
    except ValueError as error:
        raise validation(
            f"The certificate revocation list is invalid. It must be in PEM format. Error: {error}"
        ) from error
