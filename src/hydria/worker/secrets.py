"""The secrets that a load balancer refers to, read from their store for the amphorae."""

from __future__ import annotations

from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.certificates.manager import versions as manager_versions
from hydria.model import secrets
from hydria.model.errors import Invalid, NotFound
from hydria.model.secrets import SecretKind
from hydria.model.tree import Tree


def read_secrets(manager: CertificateManager, tree: Tree) -> dict[str, str]:
    """Identity of a reference -> PEM text; of a certificate with its intermediates and its private key.

    Raises Invalid, with the owner's words for it, when one is gone or is not what it has to be.
    """
    project_id = tree.load_balancer.project_id
    found: dict[str, str] = {}
    for reference, kind in secrets.of((*tree.listeners, *tree.pools)).items():
        try:
            found[secrets.identity(reference)] = (
                manager.certificate(reference, project_id).bundle
                if kind is SecretKind.CERTIFICATE
                else manager.text(reference, project_id, kind)
            )
        except (NotFound, Invalid) as error:
            raise Invalid(f"Could not retrieve certificate: {[reference]}. {error}") from error
    return found


def versions(manager: CertificateManager, tree: Tree) -> str:
    """Which versions of its secrets a load balancer is to have; read before they are, so never too new."""
    return manager_versions(
        manager, secrets.of((*tree.listeners, *tree.pools)), tree.load_balancer.project_id
    )
