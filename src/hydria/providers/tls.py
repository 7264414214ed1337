"""The certificates that third-party drivers get with listeners and pools (contract 3.3).

Drivers written for Octavia have no access to the store of secrets: beside each reference they are given what
it stands for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from octavia_lib.api.drivers import data_models

from hydria.drivers.certificates.manager import Certificate, CertificateManager
from hydria.model.errors import HydriaError, Invalid, NotFound
from hydria.model.secrets import SecretKind
from hydria.providers import objects

# Reference -> where its content goes, and what it is.
_FIELDS: Mapping[Any, Mapping[str, tuple[str, SecretKind]]] = {
    data_models.Listener: {
        "default_tls_container_ref": ("default_tls_container_data", SecretKind.CERTIFICATE),
        "sni_container_refs": ("sni_container_data", SecretKind.CERTIFICATE),
        "client_ca_tls_container_ref": ("client_ca_tls_container_data", SecretKind.CA),
        "client_crl_container_ref": ("client_crl_container_data", SecretKind.CRL),
    },
    data_models.Pool: {
        "tls_container_ref": ("tls_container_data", SecretKind.CERTIFICATE),
        "ca_tls_container_ref": ("ca_tls_container_data", SecretKind.CA),
        "crl_container_ref": ("crl_container_data", SecretKind.CRL),
    },
}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def fill(given: Any, manager: CertificateManager, project_id: str, *, needed: bool = True) -> None:
    """Put the content of every reference into an octavia-lib object, and into what is nested in it.

    Raises Invalid for a secret that is gone by now, and what the manager raises. Unless ``needed``, what
    cannot be read is left out: something that is on its way out may outlive its certificate.
    """
    for item in (given, *objects.below(given)):
        for name, (target, kind) in _FIELDS.get(type(item), {}).items():
            reference = getattr(item, name)
            if not reference:
                continue
            try:
                found = _read(reference, manager, project_id, kind)
            except HydriaError:
                if needed:
                    raise
                continue
            setattr(item, target, found)


def _read(reference: Any, manager: CertificateManager, project_id: str, kind: SecretKind) -> Any:
    if isinstance(reference, list):
        return [_read(each, manager, project_id, kind) for each in reference]
    try:
        if kind is SecretKind.CERTIFICATE:
            return _container(manager.certificate(reference, project_id))
        return manager.text(reference, project_id, kind)
    except NotFound:
        raise Invalid(f"Could not retrieve certificate: {[reference]}") from None


def _container(certificate: Certificate) -> dict[str, Any]:
    return {
        "id": hashlib.sha256(certificate.certificate.encode()).hexdigest(),
        "certificate": certificate.certificate,
        "private_key": certificate.private_key,
        "passphrase": None,
        "intermediates": _PEM.findall(certificate.intermediates),
        "primary_cn": certificate.names[0],
    }
