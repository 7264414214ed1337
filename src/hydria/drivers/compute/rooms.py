"""User namespaces of amphorae: root inside is a user of the host's who has nothing there.

The network namespace is made by, and so belongs to, the user namespace: root inside may configure this
network and no other. Its name keeps both alive. Standard library alone: it is part of what each amphora
costs.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal

from hydria.amphora import program
from hydria.drivers.compute.order import Room

_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_NS_GET_USERNS = 0xB701
_libc = ctypes.CDLL(None, use_errno=True)


class ForbiddenError(Exception):
    """The kernel gives no user namespace; the text says why."""


def make(room: Room) -> None:
    """Make a room, whose name must not be taken. Raises ForbiddenError, OSError for other faults."""
    ready, is_ready = os.pipe2(os.O_CLOEXEC)
    held, release = os.pipe2(os.O_CLOEXEC)
    holder = os.fork()
    if holder == 0:
        os.close(release)  # whoever lets go of it, also by its end, ends the holder
        failed = _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        os.write(is_ready, bytes([ctypes.get_errno() if failed else 0]))
        os.read(held, 1)
        os._exit(0)
    os.close(is_ready)
    try:
        said = os.read(ready, 1)
        if said != b"\0":
            raise ForbiddenError(f"unshare: {os.strerror(said[0])}" if said else "it was ended")
        for kind in ("uid", "gid"):
            _map(f"/proc/{holder}/{kind}_map", room)
        status, output = program.run("ip", "netns", "attach", room.name, str(holder))
        if status:
            raise OSError(f"ip netns attach {room.name}: {output.strip()}")
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        for descriptor in (ready, held, release):
            os.close(descriptor)


def enter() -> None:
    """Be root of the user namespace that the network namespace of this process belongs to."""
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    if _libc.setns(owner, _CLONE_NEWUSER):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter the user namespace: {os.strerror(number)}")
    os.close(owner)
    os.close(network)


def become_root() -> None:
    """Be root there by number, too: what is unshared before belongs to the namespace whoever does it."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _map(path: str, room: Room) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"0 {room.root} 1\n{room.user} {room.user} 1\n".encode())
        finally:
            os.close(descriptor)
    except PermissionError as error:
        # As in a container that has these numbers not itself.
        raise ForbiddenError(f"{path}: {error.strerror}: {room.root}, {room.user}") from error
