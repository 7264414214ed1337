"""What Hydria asks of a store of tenants' certificates and secrets.

A reference is what users write into listeners and pools. Every method may be called from any thread; each
raises NotFound when the project has no such secret (ForeignReference: when no project can have it, as the
reference is another store's), Invalid when it is not what it is asked for as, and
DriverError when the store does not answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from hydria.model import kinds
from hydria.model.errors import HydriaError, Invalid, NotFound
from hydria.model.secrets import SecretKind, identity


class ForeignReference(NotFound):
    """A reference to a secret of another store. ``example``: what those of this one look like."""

    def __init__(self, reference: str, example: str) -> None:
        shown = kinds.shown(reference)
        HydriaError.__init__(
            self, f"{shown} is no reference to a secret of this store; one looks like {example}."
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's or client's certificate, all PEM; ``names``: its CN and DNS names; ``expires``: UTC."""

    certificate: str
    private_key: str = field(repr=False)
    intermediates: str
    names: tuple[str, ...]
    expires: datetime

    @property
    def bundle(self) -> str:
        """Certificate, intermediates and key in one file, as HAProxy wants them."""
        return self.certificate + self.intermediates + self.private_key


@dataclass(frozen=True, slots=True)
class Description:
    """What everybody in a project may know of a secret. Times are UTC; a CRL never expires."""

    name: str
    kind: SecretKind
    changed: datetime
    expires: datetime | None


class Versions(Protocol):
    """Knows which secrets are others than before."""

    def version(self, reference: str, project_id: str) -> str:
        """Something short that is another when the secret is another; cheap, for it is asked for often."""


class CertificateManager(Versions, Protocol):
    """Reads secrets."""

    def certificate(self, reference: str, project_id: str) -> Certificate:
        """A certificate with its private key."""

    def text(self, reference: str, project_id: str, kind: SecretKind) -> str:
        """The PEM text of a CA or a CRL."""


@runtime_checkable
class Listing(Protocol):
    """A store that has no service of its own where clients could list its secrets."""

    def describe(self, project_id: str) -> Iterable[Description]:
        """The secrets of a project by name."""


def versions(manager: Versions, references: Iterable[str], project_id: str) -> str:
    """One text for the versions of all these secrets, "" for none; one that is gone is a version, too."""
    found = []
    for reference in sorted(set(map(identity, references))):
        try:
            version = manager.version(reference, project_id)
        except (NotFound, Invalid):
            version = "gone"
        found.append(f"{reference}\0{version}")
    return hashlib.sha256("\0".join(found).encode()).hexdigest() if found else ""
