"""Which process of which machine a program is, so that another one can be certain that it has ended.

Containers share host names but not process ids, and ids are given away again. So a program is named by
the boot of its machine, the namespaces in which its id and its start time mean something, and both of these.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_START = 19  # of the fields of /proc/PID/stat behind the name: the start time, in ticks since the boot


def identity() -> str:
    """This process: ``BOOT.NAMESPACE.NAMESPACE.PID.START``, as :func:`has_died` reads it."""
    return _identity(os.getpid())


def has_died(owner: str) -> bool:
    """Whether a controller (``host:identity``) is certain to have ended.

    Only who is in the same namespaces of the same boot can know; for everybody else it is False.
    """
    place, _, numbers = owner.rpartition(":")[2].rpartition(".")[0].rpartition(".")
    started = owner.rpartition(".")[2]
    if not (place and place == _place() and numbers.isdigit() and started.isdigit()):
        return False
    process = int(numbers)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Of a process that cannot be looked at nothing is certain.
    return _started(process) not in (None, int(started))


@cache
def _identity(process: int) -> str:
    return f"{_place()}.{process}.{_started(process)}"


@cache
def _place() -> str:
    """The boot and the namespaces of process ids and of time; "" where /proc is not that of this process."""
    try:
        if (_PROC / "self").readlink() != Path(str(os.getpid())):
            return ""
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        time = _PROC / "self/ns/time"  # not before Linux 5.6
        namespaces = ((_PROC / "self/ns/pid").stat().st_ino, time.stat().st_ino if time.exists() else 0)
    except OSError:
        return ""
    return ".".join(map(str, (boot, *namespaces)))


def _started(process: int) -> int | None:
    """When a process was started; None when it cannot be seen."""
    try:
        stat = (_PROC / str(process) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b") ")[2].split()[_START])
