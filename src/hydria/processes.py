"""Whether a program of this host that a row names as its owner still runs."""

from __future__ import annotations

import os


def lives(process: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def has_died(owner: str, here: str) -> bool:
    """Whether a controller (``host:process``) of the host of the controller ``here`` has ended."""
    host, _, process = owner.rpartition(":")
    return host == here.rpartition(":")[0] and process.isdigit() and not lives(int(process))
