"""What can go wrong, in domain terms.

One small hierarchy for every room; the API maps it to HTTP faults in one table (api/faults.py), the
provider boundary to octavia-lib's exceptions. A message says what was wrong, with which value, and what to
do, and is safe to show to the caller.
"""

# ruff: noqa: N818  (the names of the domain: an Invalid is raised, not an InvalidError)

from __future__ import annotations

from collections.abc import Sequence


class HydriaError(Exception):
    """Any error that Hydria raises on purpose; ``str()`` is the text for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(HydriaError):
    """The request is malformed or breaks a rule."""


class NotFound(HydriaError):
    """The object does not exist, or the caller may not know that it does."""

    def __init__(self, label: str, identifier: str) -> None:
        super().__init__(f"{label} {identifier} not found.")


class Conflict(HydriaError):
    """The request collides with the present state of something."""


class Busy(Conflict):
    """The object is locked by an operation that cannot be joined."""


class Superseded(Busy):
    """Somebody with a later term has the load balancer; ``term`` is the highest that the amphora has met.

    It says nothing against the amphora, nor against what was wanted.
    """

    def __init__(self, message: str, term: int) -> None:
        super().__init__(message)
        self.term = term


class Changed(HydriaError):
    """The object is not any more what the caller has read."""


class Outdated(Conflict):
    """An amphora has a younger desired state than the one it is given; ``generation`` is the one it has."""

    def __init__(self, message: str, generation: int) -> None:
        super().__init__(message)
        self.generation = generation


class QuotaExceeded(HydriaError):
    """The project has as many of these as it may."""


class Forbidden(HydriaError):
    """The caller is not allowed to do this."""


class Unavailable(HydriaError):
    """Something that is needed is not answering now; the same request may succeed later."""


class ProjectBusy(Unavailable):
    """Others kept the lock on the project for too long; nothing was done."""

    def __init__(self) -> None:
        super().__init__("Project busy.  Unable to lock the project.  Please try again.")


class Unsupported(HydriaError):
    """The provider cannot do this.

    ``option`` tells a value it cannot serve from an action it does not have.
    """

    def __init__(self, provider: str, detail: str, *, option: bool = True) -> None:
        what = "option" if option else "action"
        super().__init__(f"Provider '{provider}' does not support a requested {what}: {detail}")


class ProviderFailed(HydriaError):
    """A provider driver failed in a way that is not the caller's fault."""

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(f"Provider '{provider}' reports error: {detail}")


class DriverError(HydriaError):
    """An outside system (compute, network, amphora) failed; the cause is chained."""


class Refused(DriverError):
    """The amphora's own daemons refused the desired state; the previous one keeps serving."""


class Lacking(Refused):
    """The desired state goes on with files that the amphora does not have; ``names`` says which."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = frozenset(names)


class Unreachable(DriverError):
    """Nobody answers at the other end; trying again later is reasonable."""


def validation(detail: str) -> Invalid:
    """A semantic error, in the words that Octavia's clients know (contract 1.5)."""
    return Invalid(f"Validation failure: {detail}")
