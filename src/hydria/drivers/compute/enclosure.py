"""The first thing that runs in an amphora, as root and PID 1: hides the host's files, then becomes the agent.

It runs in a PID namespace and makes itself a mount namespace; what the host unmounts later goes there, too.
The host's files can be read there, but not written. The state directory, where the keys of the deployment and
of other amphorae are, becomes an empty directory; so do /run, with the sockets of the host's services, and
/tmp and /var/tmp, where anybody may write and listen. The amphora's own boot directory appears as
/run/amphora, where it writes. Standard library alone: it is part of what each amphora costs.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from hydria.amphora import root

BOOT_DIR = "/run/amphora"
_HIDE = ("/run", "/tmp", "/var/tmp")  # noqa: S108  (hidden, not used)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC = 0x2, 0x4, 0x8, 0x1000, 0x4000
_MS_SLAVE = 0x80000
_MNT_DETACH = 2
_CLONE_NEWNS = 0x20000
# mount_setattr(2) of Linux 5.12, which the C library has no function for yet.
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID = 0x1, 0x2
_libc = ctypes.CDLL(None, use_errno=True)


def main(namespace: str, state_dir: str, boot_dir: str, joins: Sequence[str], command: Sequence[str]) -> None:
    """Enclose this process, then run the agent or the command; returns only by SystemExit.

    namespace: the path of the network namespace that it is in. If that has lost its name, the amphora was
    deleted before it lived, by somebody who could not see it yet, and it ends. joins: the ``cgroup.procs``
    files of its control groups. command: runs in place of the agent, with /run/amphora as its last argument
    (tests).
    """
    if not _is_in(namespace):
        sys.exit(f"enclosure: {namespace} is gone")
    joining = _join(joins)
    enclose(state_dir, boot_dir)
    os.chdir("/")
    if os.waitpid(joining, 0)[1]:
        print("enclosure: not all control groups could be joined; limits may be missing", file=sys.stderr)  # noqa: T201  (this is the amphora's log)
    if command:
        os.execvp(command[0], [*command, BOOT_DIR])  # noqa: S606  (its own argument list)
    sys.exit(root.run(Path(BOOT_DIR)))


def _is_in(namespace: str) -> bool:
    try:
        return os.path.samefile(namespace, "/proc/self/ns/net")  # noqa: PTH121  (pathlib costs a millisecond)
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


def enclose(state_dir: str, boot_dir: str) -> None:
    """Leave of the host's changing files the boot directory alone, and of its processes this one's."""
    # Only now: mounts that the child of _join writes to could not be made read-only here.
    if _libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    _mount("none", "/", "", _MS_REC | _MS_SLAVE, "")
    # Other amphorae's namespaces would live on in this copy of the mounts.
    _libc.umount2(b"/run/netns", _MNT_DETACH)
    boot = os.open(boot_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _set_mounts(b"/", _ATTR_RDONLY | _ATTR_NOSUID, 0, _AT_RECURSIVE)
    for path in dict.fromkeys((os.path.realpath(state_dir), *filter(_can_be_hidden, _HIDE))):
        _mount("hydria", path, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=755,size=4m")
    os.mkdir(BOOT_DIR, 0o755)  # noqa: PTH102  (pathlib costs every amphora a millisecond)
    _mount(f"/proc/self/fd/{boot}", BOOT_DIR, "", _MS_BIND, "")
    os.close(boot)
    _set_mounts(BOOT_DIR.encode(), _ATTR_NOSUID, _ATTR_RDONLY, 0)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "")


def _can_be_hidden(path: str) -> bool:
    """Whether it is there, and nothing that the amphora runs on is below it (a checkout in /tmp)."""
    needed = (sys.prefix, sys.base_prefix, *sys.path)
    return os.path.isdir(path) and not any(os.path.realpath(each).startswith(path + "/") for each in needed)  # noqa: PTH112  (as above)


def _set_mounts(path: bytes, wanted: int, unwanted: int, flags: int) -> None:
    attributes = struct.pack("QQQQ", wanted, unwanted, 0, 0)
    if _libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, path, flags, attributes, ctypes.c_size_t(len(attributes))
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"mount_setattr on {path.decode()}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")
