"""The process that amphorae of this host are forked from: what they run is imported already.

    python -m hydria.drivers.compute.fork_server SOCKET SECONDS

SOCKET: the number of an inherited socket; each packet on it is an order (:mod:`.order`), the pipe for what
became of it, and the boot directory of an amphora. The process ends when nobody has the other end any more,
or when no order came for SECONDS.
It holds no secret. What it starts belongs to nobody: it is of a session of its own, outlives the controller,
and never becomes its zombie. An order that was taken is carried out when the controller is killed meanwhile,
so that no amphora runs that is only half set up. Standard library alone: all of it is part of each amphora.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

from hydria.amphora import agent, commands, program, root, root_part  # noqa: F401  (each amphora's)
from hydria.drivers.compute import enclosure, rooms
from hydria.drivers.compute.order import FORBIDDEN, LIMIT, LOG, STARTED, TAKEN, Order, Room, decode

_CLONE_NEWNET, _CLONE_NEWPID = 0x4000_0000, 0x2000_0000
# The LB network's addresses and routes are those that the order gives, whatever a router on it says.
_ACCEPT_RA = "/proc/sys/net/ipv6/conf/eth0/accept_ra"
_libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int, seconds: float) -> None:
    """Serve until nobody orders any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    gc.freeze()  # what amphorae share stays shared
    with socket.socket(fileno=descriptor) as orders:
        waiting = select.poll()
        waiting.register(orders, select.POLLIN)
        while waiting.poll(seconds * 1000):
            packet, come, _, _ = socket.recv_fds(orders, LIMIT, 2)
            if not packet:
                return
            answer, *boot = come
            try:
                os.write(answer, TAKEN)
            except BrokenPipeError:
                return  # who has ordered is gone
            if os.fork() == 0:
                orders.close()
                _carry_out(decode(packet), answer, boot)
            for each in come:
                os.close(each)


def _carry_out(order: Order | Room, answer: int, boot: Sequence[int]) -> NoReturn:
    """In a child: do what was ordered."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        os.chdir("/")
        if isinstance(order, Room):
            rooms.make(order)
        else:
            _start(order, answer, *boot)
        os.write(answer, STARTED)
        status = 0
    except rooms.ForbiddenError as refusal:
        os.write(answer, FORBIDDEN + str(refusal).encode()[:4096])
    except BaseException as error:  # noqa: BLE001  (the last stop before the process ends)
        os.write(answer, str(error).encode()[:4096])
    finally:
        os._exit(status)


def _start(order: Order, answer: int, boot: int) -> None:
    """Prepare the namespace from the inside, and leave the amphora behind."""
    hosts = enclosure.namespaces()
    _enter(order.namespace)
    _set_up_links(order.links)
    _redirect(boot)
    os.setsid()
    _check(_libc.unshare(_CLONE_NEWPID), "no process namespace")
    if os.fork() == 0:
        os.close(answer)
        _become(order, boot, hosts)


def _become(order: Order, boot: int, hosts: Mapping[str, int]) -> NoReturn:
    """In the child of that child, PID 1 of its namespace: be the amphora."""
    status: object = 1
    try:
        _show_as(f"hydria amphora {os.path.basename(order.namespace)}")  # noqa: PTH119  (pathlib costs more)
        enclosure.main(order, boot, hosts)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            os.write(2, f"{end.code}\n".encode())
        else:
            status = end.code or 0
    except BaseException:  # noqa: BLE001  (the last stop before the process ends)
        traceback.print_exc()
    finally:
        os._exit(status if isinstance(status, int) else 1)


def _show_as(title: str) -> None:
    """Have ``ps`` show this, in the place of the command line of the process that this is a copy of."""
    # proc(5): arg_start and arg_end are fields 48 and 49; the second one, in parentheses, may have blanks.
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  (as above)
        fields = file.read().rpartition(b") ")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if 0 < start < end:
        ctypes.memmove(start, title.encode()[: end - start - 1].ljust(end - start, b"\0"), end - start)


def _enter(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, _CLONE_NEWNET), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)


def _set_up_links(lines: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # IPv6 may be off
        descriptor = os.open(_ACCEPT_RA, os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, b"0")
        os.close(descriptor)
    status, output = program.run("ip", "-batch", "-", text=lines)
    if status:
        raise OSError(f"ip -batch: {output.strip()}")


def _redirect(boot: int) -> None:
    # Read, too, by whom it is shortened (amphora/log.py).
    output = os.open(LOG, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=boot)
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.close(nothing)


def _check(failed: int, what: str) -> None:
    """Raise OSError for a call of the C library that has failed."""
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    if os.fork() == 0:  # the controller waits for the parent alone, and has no child to bury
        main(int(sys.argv[1]), float(sys.argv[2]))
