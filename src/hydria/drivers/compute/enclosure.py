"""What runs first in an amphora, as root and PID 1: closes the doors to the host, then becomes the agent.

It has namespaces of its own of every kind, a user namespace too where the kernel gives any, and a file system
with nothing of the host's but what it runs on (:mod:`.files`). Each is read back: an amphora that shares one
with the host does not live. Standard library alone: it is part of what each amphora costs.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydria.amphora import kernel, root
from hydria.drivers.compute import files, rooms
from hydria.drivers.compute.order import Order

# Those that are made here, by what the kernel calls them below /proc/PID/ns.
_CLONE = {"cgroup": 0x0200_0000, "uts": 0x0400_0000, "ipc": 0x0800_0000}
_CLONE_NEWNS = 0x20000
# A time namespace shifts clocks for who asks, and keeps nobody from anything.
_KINDS = ("net", "pid", "mnt", "user", *_CLONE)
_libc = ctypes.CDLL(None, use_errno=True)


def namespaces() -> Mapping[str, int]:
    """Kind -> the inode of the namespace that this process is in, of every kind that the kernel has."""
    found = {}
    for kind in _KINDS:
        try:
            found[kind] = os.stat(f"/proc/self/ns/{kind}").st_ino  # noqa: PTH116  (pathlib costs a millisecond)
        except FileNotFoundError:
            continue
    return found


def main(order: Order, boot: int, hosts: Mapping[str, int]) -> None:
    """Enclose this process, then run the agent or the command; returns only by SystemExit.

    If the namespace has lost its name, the amphora was deleted before it lived, by somebody who could not see
    it yet, and it ends. boot: a descriptor of the boot directory. hosts: the host's namespaces.
    """
    if not _is_in(order.namespace):
        sys.exit(f"enclosure: {order.namespace} is gone")
    joining = _join(order.joins)
    kernel.raise_open_files()  # what an amphora has is the host's to give
    files.enclose(order.state_dir, order.visible, boot)
    os.close(boot)
    if os.waitpid(joining, 0)[1]:
        print("enclosure: not all control groups could be joined; limits may be missing", file=sys.stderr)  # noqa: T201  (this is the amphora's log)
    _leave(hosts, boxed=order.boxed)
    if order.command:
        os.execvp(order.command[0], [*order.command, files.BOOT_DIR])  # noqa: S606  (its own argument list)
    sys.exit(root.run(Path(files.BOOT_DIR)))


def _leave(hosts: Mapping[str, int], *, boxed: bool) -> None:
    """Share no namespace with the host any more; exits when one was not to be left."""
    # After the control groups were joined: they are the root of what is seen of them.
    flags = sum(flag for kind, flag in _CLONE.items() if kind in hosts)
    if boxed:
        rooms.enter()
        flags |= _CLONE_NEWNS  # of who is root here, who cannot take away what was mounted before
    if _libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"no namespaces: {os.strerror(number)}")
    if boxed:
        rooms.become_root()
    own = namespaces()
    shared = [kind for kind in hosts if own.get(kind) == hosts[kind] and (boxed or kind != "user")]
    if shared:
        sys.exit(f"enclosure: the host's namespaces were not left: {', '.join(shared)}")


def _is_in(namespace: str) -> bool:
    try:
        return os.path.samefile(namespace, "/proc/self/ns/net")  # noqa: PTH121  (as above)
    except FileNotFoundError:
        return False


def _join(groups: Sequence[str]) -> int:
    """Have a child put this process, which is PID 1 here, into its control groups; returns the child's pid.

    The kernel takes 10 to 20 ms for that, in which it waits for its own bookkeeping (an RCU grace period) and
    this process has other things to do.
    """
    child = os.fork()
    if child == 0:
        status = 0
        for path in groups:
            try:
                descriptor = os.open(path, os.O_WRONLY)
                os.write(descriptor, b"1")
            except OSError as error:
                os.write(2, f"enclosure: {path}: {error}\n".encode())
                status = 1
        os._exit(status)
    return child
