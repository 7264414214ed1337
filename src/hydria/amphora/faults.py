"""What the agent refuses; the texts go to the controller, and from there to the owner."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  (a verdict of a daemon, which the controller reports as such)
    """A desired state that cannot be applied; the text says what a daemon said against it."""


class Failed(Exception):  # noqa: N818  (the counterpart of Refused, and named like it)
    """A step broke off: ended by a signal, out of time. It says nothing about the desired state."""


class Stale(Exception):  # noqa: N818  (an answer, not a failure)
    """A desired state older than the applied one."""


class Superseded(Exception):  # noqa: N818  (an answer, not a failure)
    """A desired state of a term below the highest that came, ``term``."""

    def __init__(self, message: str, term: int) -> None:
        super().__init__(message)
        self.term = term


class Lacking(Exception):  # noqa: N818  (an answer, not a failure)
    """A desired state that goes on with files that are not here; ``names`` says which."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"not here: {', '.join(names)}")
        self.names = names


class Malformed(Exception):  # noqa: N818  (an answer, not a failure)
    """A request that is not a desired state at all; the text says where."""
