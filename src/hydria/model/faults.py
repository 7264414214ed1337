"""What the owner of a load balancer is told about a failure, and what the operator is.

The operator's text goes to the log, word by word. The owner's is shown by the API: it says what it means for
the load balancer, and holds neither paths, nor addresses of the operator's own, nor anything secret.
"""

from __future__ import annotations

import re

from hydria.model.errors import (
    Conflict,
    DriverError,
    HydriaError,
    Invalid,
    Refused,
    Unavailable,
    Unreachable,
    Unsupported,
)

# Said in words that are meant for whoever asked.
_FOR_EVERYBODY = (Refused, Invalid, Conflict, Unsupported)
_PATH = re.compile(r"(?:/(?:dev|etc|home|opt|proc|root|run|srv|sys|tmp|usr|var))(?:/[^\s/:;,'\"()\[\]]+)*/?")
_URL = re.compile(r"([a-z][a-z0-9+]*://)[^\s/?'\"]+(/[^\s?'\"]*)?(?:\?[^\s'\"]*)?")


def for_operator(error: BaseException) -> str:
    """The whole text."""
    return str(error) or type(error).__name__


def for_owner(error: BaseException) -> str:
    """What it means, and whose turn it is."""
    if isinstance(error, _FOR_EVERYBODY):
        return discreet(error.message)
    if isinstance(error, Unreachable):
        return (
            "An amphora of this load balancer does not answer. It is tried again; one that is dead is"
            " replaced."
        )
    if isinstance(error, Unavailable):
        return "A service that is needed for the change does not answer. It is tried again."
    if isinstance(error, DriverError):
        return (
            "What this load balancer runs on (compute, network or certificates) failed. It is tried again; if"
            " it stays so, the operator finds the cause in the log of the controller worker."
        )
    if isinstance(error, HydriaError):
        return discreet(error.message)
    return (
        f"An unexpected error ({type(error).__name__}) came while the change was applied. It is tried again;"
        " if it stays so, the operator finds the cause in the log of the controller worker."
    )


def discreet(text: str) -> str:
    """Without directories, hosts and queries; a file keeps its name, since daemons name the line in it."""
    text = _URL.sub(lambda found: f"{found[1]}…{found[2] or ''}", text)
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)
