"""What listeners and pools refer to in a store of secrets.

A secret of Hydria's own store is ``local://store/NAME``, percent-encoded as in any URL, ``local:NAME`` as it
stands, or ``local://store/NAME/UUID`` in lists, for clients that read a UUID at the end: spellings of one
reference. Responses show the one that the client sent; whatever compares references compares their
:func:`identity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from urllib.parse import quote, unquote
from uuid import UUID, uuid5

from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ListenerProtocol


class SecretKind(StrEnum):
    """What a reference stands for."""

    CERTIFICATE = "certificate"  # with its private key and its intermediates
    CA = "ca"  # certificates that others are verified against
    CRL = "crl"


TERMINATING = (ListenerProtocol.TERMINATED_HTTPS, ListenerProtocol.PROMETHEUS)
_BARE, _URL = "local:", "local://store/"
_NAMESPACE = UUID("0b0d8f5e-3a0c-4f43-8f0e-5b1d3f6f7c52")
_NOT_IN_A_PATH = re.compile(r"[^\w.~!$&'()*+,;=:@-]")

# Certificates of host names before the default one: refusals name them in the order of Octavia.
FIELDS: Mapping[type[Resource], Mapping[str, SecretKind]] = {
    Listener: {
        "sni_container_refs": SecretKind.CERTIFICATE,
        "default_tls_container_ref": SecretKind.CERTIFICATE,
        "client_ca_tls_container_ref": SecretKind.CA,
        "client_crl_container_ref": SecretKind.CRL,
    },
    Pool: {
        "tls_container_ref": SecretKind.CERTIFICATE,
        "ca_tls_container_ref": SecretKind.CA,
        "crl_container_ref": SecretKind.CRL,
    },
}


def reference_to(name: str) -> str:
    """The reference to a secret of Hydria's own store. A URL: clients refuse what does not look like one."""
    return _URL + _NOT_IN_A_PATH.sub(lambda found: quote(found[0], safe=""), name)


def id_of(name: str) -> str:
    """The UUID of a secret of Hydria's own store, which follows from its name."""
    return str(uuid5(_NAMESPACE, name))


def listed_reference(name: str) -> str:
    """The reference to such a secret in the list of secrets."""
    return f"{reference_to(name)}/{id_of(name)}"


def name_of(reference: str) -> str | None:
    """The name of a secret of Hydria's own store; None for a reference to another one."""
    if not reference.startswith(_URL):
        return reference.removeprefix(_BARE) if reference.startswith(_BARE) else None
    encoded, slash, identifier = reference.removeprefix(_URL).partition("/")
    try:
        name = unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return None
    return name if not slash or identifier == id_of(name) else None


def identity(reference: str) -> str:
    """The same text for all spellings of a reference.

    Files in amphorae are named after it. It is the older spelling, so that an upgrade renames none of them.
    """
    name = name_of(reference)
    return reference if name is None else f"{_BARE}{name}"


def references(resource: type[Resource], values: Mapping[str, object]) -> dict[str, SecretKind]:
    """Reference -> kind, of all that these values (field -> value) name."""
    found: dict[str, SecretKind] = {}
    for field, kind in FIELDS.get(resource, {}).items():
        value = values.get(field)
        for reference in value if isinstance(value, list) else [value]:
            if reference:
                found[str(reference)] = kind
    return found


def in_use(balancer: LoadBalancer, items: Iterable[Resource]) -> dict[str, SecretKind]:
    """What amphorae need of these objects: nothing of one that is disabled, or that speaks no TLS."""
    return of(item for item in items if uses_secrets(balancer, item))


def uses_secrets(balancer: LoadBalancer, item: Resource) -> bool:
    """Whether amphorae need what a listener or pool refers to."""
    if not balancer.admin_state_up:
        return False
    if isinstance(item, Listener):
        return item.admin_state_up and item.protocol in TERMINATING
    return isinstance(item, Pool) and item.admin_state_up and item.tls_enabled


def of(items: Iterable[Resource]) -> dict[str, SecretKind]:
    """The same of whole objects, whether or not amphorae need it."""
    found: dict[str, SecretKind] = {}
    for item in items:
        fields = FIELDS.get(type(item), {})
        found |= references(type(item), {field: getattr(item, field) for field in fields})
    return found
