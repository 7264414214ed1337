"""The secrets that a load balancer refers to, read from their store for the amphorae, each for itself."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from hydria.drivers.certificates.manager import CertificateManager, versions
from hydria.model import faults, secrets
from hydria.model.errors import HydriaError, Invalid, NotFound, Unavailable, Unreachable
from hydria.model.secrets import SecretKind
from hydria.model.tree import Tree

LOG = logging.getLogger(__name__)
_SILENT = (Unavailable, Unreachable)
_UNKNOWN = "unknown"  # no versions at all, so the next look at them finds others


@dataclass(frozen=True, slots=True)
class Supply:
    """What was read for one pass.

    pem: reference -> PEM text; of a certificate with its intermediates and its private key. gone: those that
    are not there, or are not what they have to be, until somebody puts them right. away: those that cannot be
    read now. Both with the reason in words for the owner. versions: see :func:`~.manager.versions`.
    """

    pem: Mapping[str, str] = field(default_factory=dict, repr=False)
    gone: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    versions: str = ""

    @property
    def known(self) -> AbstractSet[str]:
        """The references that were looked for."""
        return {*self.pem, *self.gone, *self.away}

    def joined(self, more: Supply) -> Supply:
        """With more secrets; the versions stay those of what is wanted."""
        return Supply(
            {**more.pem, **self.pem}, {**more.gone, **self.gone}, {**more.away, **self.away}, self.versions
        )


def needed(tree: Tree) -> AbstractSet[str]:
    """The references that amphorae need for a tree."""
    return secrets.in_use(tree.load_balancer, (*tree.listeners, *tree.pools)).keys()


def digest(tree: Tree) -> str:
    """One text for all of these references, "" for none."""
    references = sorted(needed(tree))
    return hashlib.sha256("\0".join(references).encode()).hexdigest() if references else ""


def read(manager: CertificateManager, tree: Tree) -> Supply:
    """What the amphorae need of the store, or why not; raises no HydriaError.

    The versions are read first, so they are never newer than the contents.
    """
    project_id = tree.load_balancer.project_id
    wanted = secrets.in_use(tree.load_balancer, (*tree.listeners, *tree.pools))
    found: dict[str, str] = {}
    gone: dict[str, str] = {}
    away: dict[str, str] = {}
    try:
        known = versions(manager, wanted, project_id)
    except HydriaError:
        known = _UNKNOWN
    silence: HydriaError | None = None
    for reference, kind in wanted.items():
        try:
            if silence is not None:
                raise silence  # one that does not answer need not be waited for again
            found[reference] = _read(manager, reference, project_id, kind)
        except (NotFound, Invalid) as error:
            gone[reference] = _said(reference, error)
        except HydriaError as error:
            LOG.warning("Load balancer %s: no secret %s: %s", tree.load_balancer.id, reference, error)
            away[reference] = _said(reference, error)
            silence = error if isinstance(error, _SILENT) else None
    return Supply(found, gone, away, known)


def _read(manager: CertificateManager, reference: str, project_id: str, kind: SecretKind) -> str:
    if kind is SecretKind.CERTIFICATE:
        return manager.certificate(reference, project_id).bundle
    return manager.text(reference, project_id, kind)


def _said(reference: str, error: HydriaError) -> str:
    known = isinstance(error, (NotFound, Invalid))
    reason = (
        faults.discreet(error.message) if known else "The store of secrets cannot tell; it is asked again."
    )
    return f"Could not retrieve certificate: {[reference]}. {reason}"
