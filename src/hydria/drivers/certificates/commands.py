"""``hydria certificate``: what the command does, as lines to print."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from hydria.drivers.certificates import material
from hydria.drivers.certificates.local_manager import LocalCertificateManager, Secret
from hydria.drivers.certificates.manager import Certificate
from hydria.model.errors import Invalid
from hydria.model.secrets import SecretKind
from hydria.settings import Settings


def add(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Keep what the files hold; its reference."""
    given = [name for name in ("certificate", "pkcs12", "ca", "crl") if getattr(options, name)]
    if len(given) != 1 or (options.private_key is None) != (given != ["certificate"]):
        raise Invalid("Give --certificate with --private-key, or --pkcs12, or --ca, or --crl.")
    kind, content, key = _material(given[0], options)
    secret = Secret(options.project, options.name, kind, content, key)
    LocalCertificateManager(settings).add(secret, replace=options.replace)
    yield secret.reference


def list_(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """A line for each secret of the project."""
    for secret in LocalCertificateManager(settings).list(options.project):
        yield f"{secret.reference}  {secret.kind}  {_summary(secret)}".rstrip()


def show(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """What everybody may see of a secret."""
    secret = LocalCertificateManager(settings).show(options.reference, options.project)
    yield f"{secret.reference}  {secret.kind}  {_summary(secret)}".rstrip()
    yield secret.content.rstrip()


def remove(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Forget a secret."""
    LocalCertificateManager(settings).remove(options.reference, options.project)
    yield f"{options.reference} is removed; amphorae that serve with it go on until they are replaced."


def _material(what: str, options: argparse.Namespace) -> tuple[SecretKind, str, str]:
    content = _read(getattr(options, what))
    if what in ("certificate", "pkcs12"):
        found = (
            material.of_pkcs12(content)
            if what == "pkcs12"
            else material.of_pem(content, _read(options.private_key))
        )
        return SecretKind.CERTIFICATE, found.certificate + found.intermediates, found.private_key
    kind = SecretKind(what)
    return kind, material.checked_text(content.decode("ascii", "replace"), kind), ""


def _summary(secret: Secret) -> str:
    if secret.kind is not SecretKind.CERTIFICATE:
        return ""
    found: Certificate = material.of_pem(secret.content.encode(), secret.private_key.encode(), kept=True)
    return f"{', '.join(found.names)}  until {found.expires:%Y-%m-%d %H:%M} UTC"


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Invalid(f"Cannot read {path}: {error.strerror}.") from error
