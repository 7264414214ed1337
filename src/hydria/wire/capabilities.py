"""How an amphora's HAProxy differs from version 2.6, which everything else is written for.

The table here is the one place where versions are compared. The agent reports what its HAProxy can do; the
controller renders for what both know of, so that either of them may be the newer one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Capability(StrEnum):
    """Something that a configuration may make use of, or has to heed."""

    SERVER_COOKIES = "server-cookies"  # servers added while it runs may have a cookie value
    INITIAL_STATE = "initial-state"  # ``init-state``: how far a server is trusted before its first check
    LUA_BOOLEANS = "lua-booleans"  # warns unless it is told what booleans are in Lua
    # A session that is shut down while its connection is being tried again stays, and does nothing, for ever.
    STUCK_RETRIES = "stuck-retries"


Capabilities = frozenset[Capability]
NONE: Capabilities = frozenset()

_Version = tuple[int, int]
_ENDLESS: _Version = (10**9, 0)
# The version that has it first, and the one that has it no more.
_VERSIONS: Mapping[Capability, tuple[_Version, _Version]] = {
    Capability.SERVER_COOKIES: ((3, 0), _ENDLESS),
    Capability.STUCK_RETRIES: ((3, 0), (3, 4)),  # met with 3.0.11, not with 2.6.12 and 3.4.7
    Capability.INITIAL_STATE: ((3, 1), _ENDLESS),
    Capability.LUA_BOOLEANS: ((3, 1), _ENDLESS),
}


def of_version(version: str) -> Capabilities:
    """What a version can do, as HAProxy writes it (``3.0.11-1+deb13u4``); nothing for a version unknown."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        return NONE
    number = int(found[1]), int(found[2])
    return frozenset(each for each, (since, until) in _VERSIONS.items() if since <= number < until)


def known(names: Iterable[object]) -> Capabilities:
    """Those of an agent's capabilities that are known here."""
    reported = set(names)
    return frozenset(each for each in Capability if each in reported)
