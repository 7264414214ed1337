"""An amphora as the netns driver builds it, with its real agent, and what a broken-into part of it can do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hydria
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.compute import namespaces
from tests import driver_lab
from tests.driver_lab import Host, wait_for


@dataclass(frozen=True)
class Box:
    """A running amphora. root: the host's pid of its root part; agent: that of its agent."""

    host: Host
    amphora_id: str
    name: str
    root: int
    agent: int

    @property
    def boot_dir(self) -> Path:
        return self.host.settings.state_dir / "amphorae" / self.amphora_id


@contextlib.contextmanager
def running(directory: Path, number: int = 1) -> Iterator[list[Box]]:
    """Amphorae whose agents live."""
    with driver_lab.host(directory) as host:
        yield [build(host) for _ in range(number)]


def build(host: Host) -> Box:
    """Build an amphora and wait for its agent."""
    authority = LocalCertificateAuthority(host.settings)
    spec = host.order(authority)
    built = host.compute.order(spec)
    log = host.settings.state_dir / "amphorae" / spec.amphora_id / "agent.log"
    try:
        wait_for(lambda: "serving on" in log.read_text(), "the agent serves", seconds=20)
    except AssertionError as error:
        raise AssertionError(log.read_text()) from error
    inhabitants = namespaces.inhabitants()[namespaces.inode(built.compute_id) or 0]
    (root,) = (pid for pid in inhabitants if status(pid, "NSpid").split()[1:] == ["1"])
    (agent,) = (pid for pid in inhabitants if int(status(pid, "PPid")) == root)
    return Box(host, spec.amphora_id, built.compute_id, root, agent)


def status(pid: int, field: str) -> str:
    """A field of /proc/PID/status."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{field}:")
    )
    return line.partition(":")[2].strip()


def uid(pid: int) -> int:
    """The effective user of a process, as the host sees it."""
    return int(status(pid, "Uid").split()[1])


def namespaces_of(pid: int) -> dict[str, str]:
    """Kind -> which namespace of that kind a process is in."""
    return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/ns").iterdir()}


def as_root_part(box: Box, what: str, *, filtered: bool = True) -> str:
    """What a broken-into root part comes to, which says it by ``print``; ``filtered``: by its system calls."""
    return _inside(box, what, user=0, filtered=filtered)


def as_haproxy(box: Box, what: str, *, filtered: bool = True) -> str:
    """The same of a broken-into HAProxy."""
    return _inside(box, what, user=uid(box.agent), filtered=filtered)


_ARRIVE = """
import ctypes, errno, os, sys
from hydria.amphora import kernel
try:
    from hydria.amphora import seccomp
except ImportError:  # the code of before
    seccomp = None
pid, user, filtered = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
libc = ctypes.CDLL(None, use_errno=True)
def said(result):
    return os.strerror(ctypes.get_errno()) if result < 0 else "done"
spaces = 0x20000 | 0x0C000000 | 0x60000000
if os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"):
    spaces |= 0x10000000
if libc.setns(os.pidfd_open(pid), spaces):
    raise OSError(ctypes.get_errno(), "setns")
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.setgroups([]); os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
os.chdir("/")
kernel.keep_capabilities()
if filtered and seccomp:
    seccomp.confine()
if user:
    kernel.drop_privileges(user)
"""


def _inside(box: Box, what: str, *, user: int, filtered: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ARRIVE + what, str(box.root), str(user), str(filtered)],
        env={**os.environ, "PYTHONPATH": str(Path(hydria.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
