"""Whoever has broken into HAProxy is in a box: namespaces, system calls, files."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver_lab import shell
from tests.security import box_lab
from tests.security.box_lab import Box, as_haproxy, namespaces_of, status

pytestmark = pytest.mark.node

# A time namespace shifts CLOCK_MONOTONIC and CLOCK_BOOTTIME for who asks; it keeps nobody from anything.
SHARED = {"time", "time_for_children"}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Box]]:
    with box_lab.running(tmp_path_factory.mktemp("boxes"), 2) as boxes:
        yield boxes


def test_no_namespace_of_an_amphora_is_the_hosts_or_anothers(boxes: list[Box]) -> None:
    host = namespaces_of(os.getpid())
    one, other = (namespaces_of(box.root) for box in boxes)
    assert set(host) >= {"ipc", "mnt", "net", "pid", "uts", "user", "cgroup"}
    for kind in set(host) - SHARED:
        assert one[kind] != host[kind], kind
        assert one[kind] != other[kind], kind
    assert namespaces_of(boxes[0].agent) == one


def test_shared_memory_is_not_seen_by_the_host_nor_by_others(boxes: list[Box]) -> None:
    key = 0x48794472
    make = f"print(said(libc.shmget({key}, 4096, 0o1666)))"
    look = f"print(said(libc.shmget({key}, 4096, 0)))"
    one, other = boxes
    assert as_haproxy(one, make) == "done"
    assert as_haproxy(one, look) == "done"
    assert as_haproxy(other, look) == "No such file or directory"
    assert f"{key:#010x}" not in shell("ipcs -m")


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",  # a user namespace, and with it all of the kernel's networking
        "unshare(0x40000000)",
        "ptrace(0, 0, 0, 0)",
        "syscall(321, 0, 0, 0)",  # bpf
        "syscall(323, 1)",  # userfaultfd
        "syscall(425, 1, ctypes.create_string_buffer(120))",  # io_uring_setup
        "syscall(250, 0, -3, 1)",  # keyctl
        "syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)",  # perf_event_open
        "mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "setns(0, 0)",
        "personality(0x0040000)",
        "syscall(56, 0x10000011, 0, 0, 0, 0)",  # clone
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_system_calls_of_break_ins_are_refused(boxes: list[Box], call: str) -> None:
    assert as_haproxy(boxes[0], f"print(said(libc.{call}))") == "Operation not permitted"


@pytest.mark.parametrize("family", [38, 40, 44, 29])  # AF_ALG, AF_VSOCK, AF_XDP, AF_CAN
def test_protocols_that_nobody_speaks_are_refused(boxes: list[Box], family: int) -> None:
    answer = as_haproxy(boxes[0], f"print(said(libc.socket({family}, 2, 0)))")
    assert answer == "Address family not supported by protocol"


def test_all_processes_are_bound_by_it(boxes: list[Box]) -> None:
    for pid in (boxes[0].root, boxes[0].agent):
        assert (status(pid, "Seccomp"), status(pid, "NoNewPrivs")) == ("2", "1")


def test_sockets_and_files_of_the_host_are_not_there(boxes: list[Box], tmp_path: Path) -> None:
    """Wherever they are, and whatever their modes."""
    with tempfile.TemporaryDirectory(prefix="hydria-open-", dir="/var/lib") as name:
        Path(name).chmod(0o777)
        with socket.socket(socket.AF_UNIX) as service:
            service.bind(f"{name}/service.sock")
            service.listen()
            Path(f"{name}/service.sock").chmod(0o777)
            attempt = f"""
import socket
try:
    socket.socket(socket.AF_UNIX).connect("{name}/service.sock")
    print("connected")
except OSError as error:
    print(error.strerror)
"""
            assert as_haproxy(boxes[0], attempt) == "No such file or directory"
    assert as_haproxy(boxes[0], f'print(os.path.exists("{tmp_path}"), *os.listdir("/tmp"))') == "False"


def test_what_the_host_says_of_itself_is_not_there(boxes: list[Box]) -> None:
    attempt = """
for path in ("/sys/class/net", "/sys/fs/cgroup", "/proc/keys", "/proc/timer_list", "/proc/bus", "/proc/kcore"):
    try:
        print(*(os.listdir(path) if os.path.isdir(path) else open(path).read(100).split()))
    except OSError as error:
        pass
"""
    assert as_haproxy(boxes[0], attempt) == ""


def test_the_boot_directory_is_not_to_be_passed(boxes: list[Box]) -> None:
    attempt = """
for path in ("/run/amphora/server.pem", "/run/amphora/work", "/proc/1/root/etc"):
    print(os.access(path, os.F_OK))
"""
    assert as_haproxy(boxes[0], attempt).split() == ["False"] * 3
