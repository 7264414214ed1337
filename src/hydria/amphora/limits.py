"""Pure: how many connections HAProxy may promise on this host, and its listeners by themselves."""

from __future__ import annotations

import re

_SECTIONS = frozenset(
    [
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "peers",
        "resolvers",
        "userlist",
        "cache",
        "ring",
        "listen",
        "log-forward",
    ]
)
# HAProxy's own files, and some for the checks of servers that are added at run time.
_RESERVE = 300
_LEAST = 10
_DEFAULT = 50_000  # where the configuration asks for nothing


def fitted_maxconn(config: str, open_files: int) -> tuple[int, int]:
    """What the configuration's global maxconn asks for (0: nothing), and what fits ``open_files``.

    Each connection and each pipe takes two files, each bind line and each checked server one. HAProxy refuses
    to start when it may not open as many as its maxconn could need.
    """
    wanted, pipes, section, others = 0, 0, "", 0
    for line in config.splitlines():
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if word in _SECTIONS:
            section = word
        elif word in ("bind", "dgram-bind", "server"):
            others += 1
        elif section == "global" and (found := re.match(r"\s*(maxconn|maxpipes)\s+(\d+)", line)):
            wanted, pipes = (int(found[2]), pipes) if found[1] == "maxconn" else (wanted, int(found[2]))
    affordable = max(_LEAST, (open_files - _RESERVE - 2 * pipes - 2 * others) // 2)
    return wanted, min(wanted or _DEFAULT, affordable)


def of_frontends(config: str) -> dict[str, int]:
    """The frontends of a configuration that have a limit of their own."""
    limits: dict[str, int] = {}
    name = ""
    for line in config.splitlines():
        words = line.split(maxsplit=2)
        if words and words[0] in _SECTIONS:
            name = words[1] if words[0] == "frontend" and len(words) > 1 else ""
        elif name and len(words) == 2 and words[0] == "maxconn" and words[1].isdecimal():
            limits[name] = int(words[1])
    return limits
