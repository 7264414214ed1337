"""The files of the agent in its work directory, which is its current directory.

``state`` is the truth: what was applied last. Everything else can be made again from it. A change first
writes what it needs beside what is in use, then renames: a full disk fails it before anything is switched.
While there is ``state.new``, it is not finished. When a change is confirmed, ``state`` is on the disk,
whatever becomes of the power. The rest may be lost; certificates and the like are in memory anyway.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE = "state"  # the desired state that was applied last (:mod:`.kept`)
STAGED_STATE = "state.new"  # the one that is being applied
RUNNING = "running"  # what the agent knows about the HAProxy process that runs (:mod:`.running`)
EPOCH = "epoch"  # the latest that a life of the agent began
CONFIG = "haproxy.cfg"
STAGED = "haproxy.cfg.new"
PID = "haproxy.pid"
STATS_SOCKET = "stats.sock"
SERVER_STATE = "server-state"


def write(name: str, content: bytes | str, *, durable: bool = False) -> None:
    """Replace a file as a whole: a reader, or a crash, finds the old content or the new one.

    durable: the content is on the disk before the file has its name.
    """
    unfinished = Path(f"{name}.tmp")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        if durable:
            settle(str(unfinished))
    except OSError:
        unfinished.unlink(missing_ok=True)  # what a full disk has taken of it
        raise
    unfinished.replace(name)


def settle(name: str) -> None:
    """Have on the disk what is in a file, or what the files of a directory are called."""
    descriptor = os.open(name, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_changed(name: str, content: bytes | str) -> None:
    """The same, but a file that is so already needs no space."""
    if read(name) != (content.encode() if isinstance(content, str) else content):
        write(name, content)


def read(name: str) -> bytes | None:
    """A file's content, None where there is no such file."""
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        return None


def remove(name: str) -> None:
    """Remove a file if it is there."""
    Path(name).unlink(missing_ok=True)


def rename(name: str, other: str) -> None:
    """Give a file another name, in place of what has it."""
    os.replace(name, other)  # noqa: PTH105  (two names, no path to speak of)
