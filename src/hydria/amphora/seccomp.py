"""System calls that nothing in an amphora makes, and that break-ins are made of: refused, for good.

One filter for root part, agent, HAProxy and what they run. It is inherited, and costs each system call some
nanoseconds. A list of what is refused rather than of what is allowed: HAProxy and the C library are the
distribution's, and use of the harmless rest what they like.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hydria.amphora.log import log

_PR_GET_SECCOMP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 21, 22, 38
_MODE_FILTER = 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they are in struct seccomp_data (its lower half)
_ALLOW, _ERROR = 0x7FFF_0000, 0x0005_0000
_X32 = 0x4000_0000  # numbers from here on are another kind of program's, on x86-64 alone
# Namespaces of one's own, and in them all of the kernel's networking and mounting.
_CLONE_NEW = 0x7E02_0000
_CLONE3 = 435
# Unix, IPv4, IPv6, netlink, packets: the rest of the kernel's protocols is nobody's here.
_FAMILIES = (1, 2, 10, 16, 17)
# New since all machines have the same numbers: io_uring_*, open_tree, move_mount, fsopen, fsconfig, fsmount,
# fspick, pidfd_getfd, process_madvise, mount_setattr, quotactl_fd, open_tree_attr.
_COMMON = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442, 443, 467)


@dataclass(frozen=True)
class _Machine:
    """A kind of processor: what the kernel calls it, and its numbers (linux/audit.h, asm/unistd.h)."""

    audit: int
    clone: int
    socket: int
    refused: tuple[int, ...]


# ptrace, syslog, personality, pivot_root, chroot, acct, settimeofday, mount, umount2, swapon, swapoff,
# reboot, sethostname, setdomainname, init_module, delete_module, quotactl, nfsservctl, lookup_dcookie,
# clock_settime, kexec_load, add_key, request_key, keyctl, migrate_pages, unshare, move_pages,
# perf_event_open, fanotify_init, name_to_handle_at, open_by_handle_at, clock_adjtime, setns,
# process_vm_readv, process_vm_writev, kcmp, finit_module, kexec_file_load, bpf, userfaultfd; x86-64 also has
# modify_ldt, uselib, iopl, ioperm.
_MACHINES = {
    "x86_64": _Machine(
        0xC000_003E,
        56,
        41,
        (101, 103, 135, 155, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 175, 176, 179, 180, 212, 227,
         246, 248, 249, 250, 256, 272, 279, 298, 300, 303, 304, 305, 308, 310, 311, 312, 313, 320, 321, 323,
         154, 134, 172, 173),
    ),
    "aarch64": _Machine(
        0xC000_00B7,
        220,
        198,
        (117, 116, 92, 41, 51, 89, 170, 40, 39, 224, 225, 142, 161, 162, 105, 106, 60, 42, 18, 112,
         104, 217, 218, 219, 238, 97, 239, 241, 262, 264, 265, 266, 268, 270, 271, 272, 273, 294, 280, 282),
    ),
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)


def confine() -> None:
    """Refuse them to this process and all that come of it. Raises OSError when that fails."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        log("root", f"no system calls are refused: their numbers on {os.uname().machine} are not known here")
        return
    program = _program(machine)
    code = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)
    _prctl("seccomp", _PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(filters))
    if _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) != _MODE_FILTER:
        raise OSError("the filter of system calls is not there")


def _program(machine: _Machine) -> bytes:
    """The filter. The last instructions are its ends, which all others jump to, forward."""
    ends = {
        "allow": _ALLOW,
        "EPERM": _ERROR | errno.EPERM,
        "ENOSYS": _ERROR | errno.ENOSYS,  # the C library then uses clone, whose flags can be seen
        "EAFNOSUPPORT": _ERROR | errno.EAFNOSUPPORT,
    }
    steps: list[tuple[int, int, str, str]] = [
        (_LOAD, _ARCHITECTURE, "", ""),
        (_EQUAL, machine.audit, "", "EPERM"),
        (_LOAD, _NUMBER, "", ""),
        (_AT_LEAST, _X32, "EPERM", ""),
        *_each((*machine.refused, *_COMMON), "EPERM"),
        (_EQUAL, _CLONE3, "ENOSYS", ""),
        (_EQUAL, machine.clone, "clone", ""),
        (_EQUAL, machine.socket, "socket", "allow"),
        (_LOAD, _FIRST_ARGUMENT, "socket:", ""),
        *_each(_FAMILIES, "allow"),
        (_RETURN, ends["EAFNOSUPPORT"], "", ""),
        (_LOAD, _FIRST_ARGUMENT, "clone:", ""),
        (_ANY_BIT, _CLONE_NEW, "EPERM", "allow"),
    ]
    places = {yes[:-1]: number for number, (_, _, yes, _) in enumerate(steps) if yes.endswith(":")}
    places |= {name: len(steps) + number for number, name in enumerate(ends)}
    steps += [(_RETURN, value, "", "") for value in ends.values()]
    code = b""
    for number, (operation, value, yes, no) in enumerate(steps):
        jumps = [places.get(name, number + 1) - number - 1 for name in (yes, no)]
        code += struct.pack("HBBI", operation, *jumps, value)
    return code


def _each(values: Iterable[int], end: str) -> list[tuple[int, int, str, str]]:
    return [(_EQUAL, value, end, "") for value in values]


def _prctl(what: str, option: int, value: int, pointer: ctypes.c_char_p | int = 0) -> None:
    if _libc.prctl(option, value, pointer, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
