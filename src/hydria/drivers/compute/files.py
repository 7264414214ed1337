"""The file system of an amphora: a new one, with what it runs on, read-only, and nothing else of the host's.

Standard library alone: it is part of what each amphora costs.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

BOOT_DIR = "/run/amphora"
# Where it is put together; launch.check sees to it that nothing that is needed lies below.
_STAGE = "/run"
# What programs of any distribution are, and what they look up about names, numbers and certificates.
_NEEDED = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/iproute2",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls",
    "/etc/pki/ca-trust/extracted",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/sys/devices/system/cpu",
)
_PLACES = ("/dev/shm", "/proc", "/tmp", "/var/tmp", BOOT_DIR)  # noqa: S108  (empty, and nobody writes there)
# What of /proc is the whole host's, and says more of it than an amphora needs to know, or changes it.
_MASKED_FILES = (
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
)
_MASKED_DIRECTORIES = ("acpi", "bus", "driver", "fs", "irq", "scsi", "tty")
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
# System calls of Linux 5.2 and 5.12, which not every C library has a function for; these numbers are the same
# on all machines.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 0x1, 0x2, 0x4
_CLONE_NEWNS = 0x20000
_libc = ctypes.CDLL(None, use_errno=True)


def enclose(state_dir: str, visible: Iterable[str], boot: int) -> None:
    """Have a file system of its own for this process, with the directory ``boot`` as /run/amphora.

    Only ``work`` in that can be written to. Called by PID 1 of the process namespace that /proc shall show.
    """
    # Before: the mount that a descriptor belongs to stays behind.
    tree = _call(
        "open_tree", _SYS_OPEN_TREE, boot, b"", _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH
    )
    if _libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")
    _mount("hydria", _STAGE, "tmpfs", _MS_NOSUID, "mode=755,size=1m")
    for path in (*_NEEDED, sys.prefix, sys.base_prefix, *sys.path, *visible):
        _show(path)
    for path in _PLACES:
        os.makedirs(_STAGE + path, mode=0o755, exist_ok=True)  # noqa: PTH103  (pathlib costs every amphora a millisecond)
    _hide(os.path.realpath(state_dir))
    _set_mounts(_STAGE, _ATTR_RDONLY | _ATTR_NOSUID, 0, _AT_RECURSIVE)
    _call(
        "move_mount",
        _SYS_MOVE_MOUNT,
        tree,
        b"",
        _AT_FDCWD,
        os.fsencode(_STAGE + BOOT_DIR),
        _MOVE_MOUNT_F_EMPTY_PATH,
    )
    os.close(tree)
    work = f"{_STAGE}{BOOT_DIR}/work"
    _set_mounts(_STAGE + BOOT_DIR, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, 0, 0)
    _mount(work, work, "", _MS_BIND, "")
    _set_mounts(work, _ATTR_NOSUID | _ATTR_NODEV, _ATTR_RDONLY, 0)
    _mount_proc(f"{_STAGE}/proc")
    os.chdir(_STAGE)
    if _libc.pivot_root(b".", b"."):
        raise OSError(ctypes.get_errno(), f"pivot_root: {os.strerror(ctypes.get_errno())}")
    _libc.umount2(b".", _MNT_DETACH)  # the host's files, which are on top now
    os.chdir("/")
    if os.path.exists(_STAGE + "/netns"):  # noqa: PTH110  (as above)
        raise OSError("the host's files are still there")


def _show(path: str) -> None:
    """Have a file or directory of the host's at its place, as a symbolic link if it is a relative one."""
    there = _STAGE + path
    if not path.startswith("/") or not os.path.exists(path) or os.path.lexists(there):  # noqa: PTH110  (as above)
        return
    os.makedirs(os.path.dirname(there), mode=0o755, exist_ok=True)  # noqa: PTH103, PTH120  (as above)
    with suppress(OSError):  # no link
        target = os.readlink(path)  # noqa: PTH115  (as above)
        if not target.startswith("/") and os.path.dirname(path) == "/":  # noqa: PTH120  (as above)
            os.symlink(target, there)  # noqa: PTH211  (as above)
            return
    if os.path.isdir(path):  # noqa: PTH112  (as above)
        os.mkdir(there, 0o755)  # noqa: PTH102  (as above)
    else:
        os.close(os.open(there, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    _mount(os.path.realpath(path), there, "", _MS_BIND | _MS_REC, "")


def _hide(directory: str) -> None:
    """Cover a directory where it is below what is shown."""
    if os.path.isdir(_STAGE + directory):  # noqa: PTH112  (as above)
        _mount("hydria", _STAGE + directory, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=755,size=4k")


def _mount_proc(proc: str) -> None:
    """/proc of this process namespace, of which only this network's settings can be written."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount("proc", proc, "proc", flags, "")
    for path in (f"{proc}/sys", f"{proc}/sys/net"):
        _mount(path, path, "", _MS_BIND, "")
    _set_mounts(f"{proc}/sys", _ATTR_RDONLY, 0, 0)
    for name in _MASKED_FILES:
        if os.path.exists(f"{proc}/{name}"):  # noqa: PTH110  (as above)
            _mount(f"{_STAGE}/dev/null", f"{proc}/{name}", "", _MS_BIND, "")
    for name in _MASKED_DIRECTORIES:
        if os.path.isdir(f"{proc}/{name}"):  # noqa: PTH112  (as above)
            _mount("hydria", f"{proc}/{name}", "tmpfs", flags | _MS_RDONLY, "mode=555,size=4k")


def _set_mounts(path: str, wanted: int, unwanted: int, flags: int) -> None:
    attributes = struct.pack("QQQQ", wanted, unwanted, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    _call(
        f"mount_setattr on {path}", _SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, attributes, size
    )


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")


def _call(what: str, *arguments: object) -> int:
    result: int = _libc.syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
