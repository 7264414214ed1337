"""Whether the certificates that a request refers to are what they have to be (contract 1.11)."""

from __future__ import annotations

from collections.abc import Mapping

from hydria.api.call import Call
from hydria.drivers.certificates import material
from hydria.model import secrets
from hydria.model.errors import Invalid, NotFound
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.secrets import SecretKind

# A list of revoked certificates -> the CA that has to have signed it.
_SIGNED_BY: Mapping[type[Resource], tuple[str, str]] = {
    Listener: ("client_crl_container_ref", "client_ca_tls_container_ref"),
    Pool: ("crl_container_ref", "ca_tls_container_ref"),
}


def judge(
    call: Call,
    resource: type[Resource],
    values: Mapping[str, object],
    project_id: str,
    former: Resource | None = None,
) -> None:
    """Raise Invalid for a reference that cannot be used.

    values: of a new object, or the changes of ``former``. project_id: of the load balancer.
    """
    manager = call.services.certificates
    # Octavia's words for all that are missing: certificates first, then what others are verified against.
    missing: dict[bool, list[str]] = {True: [], False: []}
    for reference, kind in secrets.references(resource, values).items():
        certificate = kind is SecretKind.CERTIFICATE
        try:
            if certificate:
                manager.certificate(reference, project_id)
            else:
                manager.text(reference, project_id, kind)
        except NotFound:
            missing[certificate].append(reference)
    for found in missing.values():
        if found:
            raise Invalid(f"Could not retrieve certificate: {found}")
    crl, ca = (values.get(field, getattr(former, field, None)) for field in _SIGNED_BY[resource])
    if crl and ca and any(field in values for field in _SIGNED_BY[resource]):
        material.check_crl_of(
            manager.text(str(crl), project_id, SecretKind.CRL),
            manager.text(str(ca), project_id, SecretKind.CA),
        )
