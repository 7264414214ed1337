"""Network namespaces of this host: made, found by their inode, and emptied.

A thread of the controller never changes its own namespace; what must happen inside is done by a child.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from hydria.drivers import host
from hydria.model.errors import DriverError

DIRECTORY = Path("/run/netns")
_SECONDS = 10.0
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> Path:
    """The file that names a namespace, for ``ip netns`` too."""
    return DIRECTORY / name


def names(prefix: str) -> list[str]:
    """The namespaces whose name begins so."""
    if not DIRECTORY.is_dir():
        return []
    return sorted(found.name for found in DIRECTORY.iterdir() if found.name.startswith(prefix))


def create(name: str, make: Callable[[], object] | None = None) -> None:
    """Make a namespace; in place of one that the child of a killed builder has made meanwhile.

    make: does it, and raises DriverError when the name is taken; None: one that belongs to root.
    """
    make = make or partial(run, ["ip", "netns", "add", name])
    try:
        make()
    except DriverError:
        if not path(name).exists():
            raise
        dismantle(name)
        make()


def remove(name: str) -> None:
    """Remove a namespace's name; the kernel takes it down, with its links, once nothing is in it any more."""
    if _libc.umount2(os.fsencode(path(name)), _MNT_DETACH):
        number = ctypes.get_errno()
        if number == 2:  # ENOENT
            return
        if number != 22:  # EINVAL: a file that nothing was mounted on yet
            raise DriverError(f"Cannot unmount {path(name)}: {os.strerror(number)}.")
    path(name).unlink(missing_ok=True)


def inode(name: str) -> int | None:
    """What the kernel knows a namespace by; None when there is none of that name."""
    with suppress(FileNotFoundError):
        found, own = path(name).stat(), Path("/proc/self/ns/net").stat()
        if found.st_dev == own.st_dev and found.st_ino != own.st_ino:
            return found.st_ino
    return None


def inhabitants() -> Mapping[int, list[int]]:
    """Inode of a network namespace -> the processes in it."""
    found = defaultdict(list)
    for entry in os.listdir("/proc"):  # noqa: PTH208  (a thousand Path objects cost more than the rest)
        if entry.isdecimal():
            where = _namespace_of(int(entry))
            if where is not None:
                found[where].append(int(entry))
    return found


def empty(name: str) -> None:
    """End every process in a namespace, and wait for their end. Raises DriverError when one will not end."""
    where = inode(name)
    if where is not None:
        _empty(name, where)


def dismantle(name: str) -> None:
    """Empty a namespace and remove its name, for good: also of those who were on their way into it.

    The child of a killed builder may have opened it, but not entered it yet. Who enters before the name is
    gone is found in it afterwards; who does so later finds the name gone (:mod:`.enclosure`).
    """
    where = inode(name)
    if where is None:
        remove(name)
        return
    held = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)  # nobody else's gets its inode meanwhile
    try:
        _empty(name, where)
        remove(name)
        _empty(name, where)
    finally:
        os.close(held)


def without_name(directory: Path, inside: str) -> set[int]:
    """The namespaces of those who see a directory of the host as ``inside``, whatever mounts we see.

    Names are mounts: whoever was started in another mount namespace than their maker sees none of them.
    """
    found: set[int] = set()
    own = Path("/proc/self/ns/net").stat().st_ino
    try:
        wanted = directory.stat()
    except FileNotFoundError:
        return found
    for entry in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208  (as above)
        try:
            seen = os.stat(f"/proc/{entry}/root{inside}")  # noqa: PTH116  (as above)
        except OSError:  # it has no such directory, or has ended
            continue
        where = _namespace_of(int(entry))
        if os.path.samestat(wanted, seen) and where is not None and where != own:
            found.add(where)
    return found


def end(name: str, where: int) -> None:
    """End every process in a namespace that has lost its name, or whose name is not to be seen."""
    _empty(name, where)


def _empty(name: str, where: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while pids := inhabitants().get(where):
        if time.monotonic() > deadline:
            raise DriverError(f"Processes {pids} in the namespace {name} do not end.")
        _end(pids, where, deadline)


def run(command: Iterable[str]) -> None:
    """Run a program of the distribution. Raises DriverError with what it wrote."""
    arguments = list(command)
    try:
        subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
            cwd="/",
            env=host.environment(),
        )
    except FileNotFoundError as error:
        raise DriverError(f"{arguments[0]} is missing: {' '.join(host.missing())}") from error
    except subprocess.CalledProcessError as error:
        raise DriverError(f"{' '.join(arguments[:4])}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"{' '.join(arguments[:4])} took longer than {_SECONDS:.0f} s.") from error


def _namespace_of(pid: int) -> int | None:
    """The inode of a process's network namespace; None when it has ended."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116  (see above)
    except OSError:  # gone, a zombie, or not ours to see
        return None


def _end(pids: list[int], where: int, deadline: float) -> None:
    """Kill processes; a pidfd makes sure that each is the one that was found, and tells of its end."""
    waiting = select.poll()
    descriptors = []
    ending = set()
    try:
        for pid in pids:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                descriptor = os.pidfd_open(pid)
                descriptors.append(descriptor)
                if _namespace_of(pid) == where:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    waiting.register(descriptor, select.POLLIN)
                    ending.add(descriptor)
        while ending and (ended := waiting.poll(max(0.0, deadline - time.monotonic()) * 1000)):
            for descriptor, _ in ended:
                waiting.unregister(descriptor)
                ending.discard(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
