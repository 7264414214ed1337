"""What listeners and pools refer to in a store of secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import Resource


class SecretKind(StrEnum):
    """What a reference stands for."""

    CERTIFICATE = "certificate"  # with its private key and its intermediates
    CA = "ca"  # certificates that others are verified against
    CRL = "crl"


_FIELDS: Mapping[type[Resource], Mapping[str, SecretKind]] = {
    Listener: {
        "default_tls_container_ref": SecretKind.CERTIFICATE,
        "sni_container_refs": SecretKind.CERTIFICATE,
        "client_ca_tls_container_ref": SecretKind.CA,
        "client_crl_container_ref": SecretKind.CRL,
    },
    Pool: {
        "tls_container_ref": SecretKind.CERTIFICATE,
        "ca_tls_container_ref": SecretKind.CA,
        "crl_container_ref": SecretKind.CRL,
    },
}


def references(resource: type[Resource], values: Mapping[str, object]) -> dict[str, SecretKind]:
    """Reference -> kind, of all that these values (field -> value) name."""
    found: dict[str, SecretKind] = {}
    for field, kind in _FIELDS.get(resource, {}).items():
        value = values.get(field)
        for reference in value if isinstance(value, list) else [value]:
            if reference:
                found[str(reference)] = kind
    return found


def of(items: Iterable[Resource]) -> dict[str, SecretKind]:
    """The same of whole objects."""
    found: dict[str, SecretKind] = {}
    for item in items:
        fields = _FIELDS.get(type(item), {})
        found |= references(type(item), {field: getattr(item, field) for field in fields})
    return found
