"""Pure: how many connections HAProxy may promise on this host, and its listeners by themselves."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

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
_MEGABYTE = 1024 * 1024
# Measured with 2.6: 2 KiB for an idle connection, 24 with TLS, 40 with TLS and a head that does not end.
_CONNECTION = 40 * 1024


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for HAProxy: files that it may open, bytes of memory."""

    open_files: int
    memory: int


def share(memory_mb: int) -> int:
    """Bytes of an amphora's memory that its HAProxy may have, 0 megabytes being the machine's.

    The rest is the agent's, and that of processes which retire.
    """
    whole = memory_mb * _MEGABYTE or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return whole * 3 // 4


@dataclass(frozen=True, slots=True)
class Maxconn:
    """wanted: what the configuration asks for, 0 for nothing. fitted: what there is room for.

    why: the reason when that is less, "" otherwise.
    """

    wanted: int
    fitted: int
    why: str = ""


def fitted_maxconn(config: str, room: Room) -> Maxconn:
    """What the configuration's global maxconn asks for, and what there is room for.

    Each connection and each pipe takes two files, each bind line and each checked server one. HAProxy refuses
    to start when it may not open as many as its maxconn could need; that it has no memory for them, it learns
    when it is too late.
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
    reasons = {
        f"only {room.open_files} open files are allowed here": (
            (room.open_files - _RESERVE - 2 * pipes - 2 * others) // 2
        ),
        f"{room.memory // _MEGABYTE} MiB of memory hold no more": room.memory // _CONNECTION,
    }
    why = min(reasons, key=reasons.__getitem__)
    affordable = max(_LEAST, reasons[why])
    asked = wanted or _DEFAULT
    return Maxconn(wanted, min(asked, affordable), why if affordable < asked else "")


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
