"""The files of the agent in its work directory, which is its current directory.

``state`` is the truth: what was applied last. Everything else can be made again from it.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE = "state"  # the desired state that was applied last (:mod:`.kept`)
RUNNING = "running.json"  # what the agent knows about the HAProxy process that runs
CONFIG = "haproxy.cfg"
STAGED = "haproxy.cfg.new"
PID = "haproxy.pid"
STATS_SOCKET = "stats.sock"
SERVER_STATE = "server-state"


def write(name: str, content: bytes | str) -> None:
    """Replace a file as a whole: a reader, or a crash, finds the old content or the new one."""
    unfinished = Path(f"{name}.tmp")
    unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    unfinished.replace(name)


def read(name: str) -> bytes | None:
    """A file's content, None where there is no such file."""
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        return None


def remove(name: str) -> None:
    """Remove a file if it is there."""
    Path(name).unlink(missing_ok=True)


def adopt_staged() -> None:
    """Make the staged configuration the current one."""
    os.replace(STAGED, CONFIG)  # noqa: PTH105  (two names, no path to speak of)
