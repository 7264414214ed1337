"""Whoever has broken into the root part of an amphora is not root of the host."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hydria
from hydria.drivers.compute import enclosure
from tests.driver_lab import wait_for
from tests.security import box_lab
from tests.security.box_lab import Box, as_root_part, status, uid

pytestmark = pytest.mark.node

KEPT = sum(1 << number for number in (5, 6, 7, 12, 13))  # KILL, SETGID, SETUID, NET_ADMIN, NET_RAW


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with box_lab.running(tmp_path_factory.mktemp("box")) as (box,):
        yield box


def test_he_is_a_user_of_the_hosts_who_has_nothing_there(box: Box) -> None:
    assert uid(box.root) > 0x7000_0000
    assert len({uid(box.root), uid(box.agent)}) == 2


@pytest.mark.parametrize(
    "setting", ["kernel/core_pattern", "kernel/modprobe", "vm/drop_caches", "fs/file-max"]
)
def test_settings_of_the_host_cannot_be_written(box: Box, setting: str) -> None:
    """Opened only, not written to: it is this machine's."""
    attempt = f"""
try:
    os.open("/proc/sys/{setting}", os.O_WRONLY)
    print("open")
except OSError as error:
    print(error.strerror)
"""
    assert as_root_part(box, attempt) in (
        "Permission denied",
        "Read-only file system",
        "No such file or directory",
    )


def test_settings_of_its_own_network_can(box: Box) -> None:
    attempt = (
        'kernel.set_network("ipv4/tcp_fin_timeout", "11"); print(kernel.read_network("ipv4/tcp_fin_timeout"))'
    )
    assert as_root_part(box, attempt) == "11"


@pytest.mark.parametrize("filtered", [True, False])
def test_files_cannot_be_opened_by_their_numbers(box: Box, filtered: bool) -> None:
    """open_by_handle_at needs no path: so it went past everything that hides a path."""
    key = box.host.settings.state_dir / "ca" / "ca.key"
    attempt = f"""
handle = ctypes.create_string_buffer(bytes.fromhex("{_handle(key)}"))
for mount in {list(MOUNTS)!r}:
    try:
        place = os.open(mount, os.O_RDONLY)
    except OSError:
        continue
    found = libc.open_by_handle_at(place, handle, 0)
    if found >= 0:
        print(os.read(found, 100))
        sys.exit()
print("nothing")
"""
    assert as_root_part(box, attempt, filtered=filtered) == "nothing"


MOUNTS = ("/", "/usr", "/run/amphora", "/run/amphora/work", "/dev/shm")


def _handle(path: os.PathLike[str]) -> str:
    """A struct file_handle with room for 128 bytes, in hex."""
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little") + bytes(4), 136)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(ctypes.c_int()), 0) == 0
    return handle.raw.hex()


def test_none_of_the_hosts_files_is_there_but_what_it_runs_on(box: Box) -> None:
    names = {"bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}
    runs_on = [Path(path).resolve() for path in (sys.prefix, sys.base_prefix, hydria.__file__)]
    names |= {path.parts[1] for path in runs_on}  # the interpreter and the code, wherever they are
    assert set(as_root_part(box, 'print(*os.listdir("/"))').split()) <= names
    private = [
        "/etc/shadow",
        "/etc/hydria",
        "/etc/ssl/private",
        "/var/lib",
        "/sys/class",
        "/sys/fs",
        "/opt",
        "/home",
    ]
    hidden = [each for each in private if not any(path.is_relative_to(each) for path in runs_on)]
    assert as_root_part(box, f"print(*filter(os.path.exists, {hidden}))") == ""


def test_what_is_there_cannot_be_written(box: Box) -> None:
    attempt = """
for directory in ("/", "/usr", "/etc", "/dev", "/run/amphora", "/tmp", "/sys/devices/system/cpu"):
    try:
        os.close(os.open(directory + "/evil", os.O_CREAT | os.O_WRONLY))
        print(directory)
    except OSError:
        pass
for flags in (0x20, 0x1020):  # MS_REMOUNT, with MS_BIND
    print(said(libc.mount(b"none", b"/usr", None, flags, None)))
print(said(libc.umount2(b"/proc/sys", 2)))
"""
    assert set(as_root_part(box, attempt).splitlines()) == {"Operation not permitted"}


def test_capabilities_are_those_of_each_day_and_bound_to_its_own_namespaces(box: Box) -> None:
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status(box.root, name), 16) == KEPT, name
        assert int(status(box.agent, name), 16) in (0, KEPT), name
    assert int(status(box.agent, "CapEff"), 16) == 0


def test_an_amphora_that_shares_a_namespace_with_the_host_does_not_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nothing:
        """A kernel that says yes and does nothing."""

        def unshare(self, _flags: int) -> int:
            return 0

    monkeypatch.setattr(enclosure, "_libc", Nothing())
    with pytest.raises(
        SystemExit, match="the host's namespaces were not left: net, pid, mnt, cgroup, uts, ipc"
    ):
        enclosure._leave(enclosure.namespaces(), boxed=False)


def test_what_the_root_part_is_for_it_can_still_do(box: Box) -> None:
    attempt = """
import socket
from hydria.amphora import program
print(program.run("nft", "-f", "-", text="add table inet probe\\ndelete table inet probe\\n")[0])
print(program.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth1")[0])
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
packets.bind(("eth1", 0x0806))
print(packets.send(bytes(60)))
print(program.run("ip", "addr", "del", "192.0.2.77/32", "dev", "eth1")[0])
print(program.run("haproxy", "-v")[0])
"""
    assert as_root_part(box, attempt).split() == ["0", "0", "60", "0", "0"]


def test_the_agent_may_ask_members_for_an_echo(box: Box) -> None:
    attempt = """
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
echo.settimeout(5)
echo.sendto(b"\\x08" + bytes(15), ("127.0.0.1", 0))
print(echo.recv(100)[0])
"""
    assert box_lab.as_haproxy(box, attempt) == "0"


def test_an_agent_that_dies_is_started_again_in_its_box(box: Box) -> None:
    os.kill(box.agent, signal.SIGKILL)
    log = box.boot_dir / "agent.log"
    wait_for(lambda: log.read_text().count("serving on") == 2, "another agent", seconds=20)
    children = Path(f"/proc/{box.root}/task/{box.root}/children").read_text().split()
    assert {uid(int(child)) for child in children} == {uid(box.root) - (1 << 24)}
