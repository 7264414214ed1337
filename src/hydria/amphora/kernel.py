"""Calls of the kernel that the standard library has no function for, and the namespace's settings."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import resource
import socket
import struct
from contextlib import suppress
from pathlib import Path

from hydria.amphora.log import log

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x2, 0x4, 0x8
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_CLONE_NEWNS = 0x20000
_CLONE_NEWUTS = 0x0400_0000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_PR_CAPBSET_DROP = 24
_PR_SET_DUMPABLE = 4
_CAPABILITY_VERSION = 0x2008_0522
_CAPABILITIES = {  # linux/capability.h
    "KILL": 5,  # the agent and HAProxy, which are of another user
    "SETGID": 6,
    "SETUID": 7,
    "NET_ADMIN": 12,  # links, addresses, nftables, connection tracking
    "NET_RAW": 13,  # announcing a VIP
}
_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR = 0x8912, 0x8913, 0x8914, 0x8927
_IFF_UP = 1
_IFREQ, _INTERFACES = 40, 128  # bytes of one; how many are looked at
_OPEN_FILES = 1_048_576
_WORK = Path("/dev/shm")  # noqa: S108  (hidden in our mount namespace; neither we nor HAProxy use it)

_SECRET, _SECRET_BYTES = "tls", 64 << 20

_SETTINGS = {
    # An amphora is on several networks and forwards nothing between them. A new namespace has the host's
    # settings. First, because the kernel changes others along with these two.
    "ipv4/ip_forward": "0",
    "ipv6/conf/all/forwarding": "0",
    # Nor does it tell one network which addresses it has on another.
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
    # HAProxy runs without root and binds ports below 1024, and a VIP that is not there (yet).
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/ip_nonlocal_bind": "1",
    "ipv6/ip_nonlocal_bind": "1",
    # Addresses serve at once; nobody else may configure them.
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    # Removing an interface's first address leaves its others alone.
    "ipv4/conf/all/promote_secondaries": "1",
    "ipv4/conf/default/promote_secondaries": "1",
    # A proxy opens one connection to a member per request at worst.
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/tcp_fin_timeout": "10",
    "ipv4/tcp_max_syn_backlog": "65535",
    "core/somaxconn": "65535",
}
_PING_GROUPS = "ipv4/ping_group_range"
# Off, these keep others from deciding where packets go: an amphora is not to be without.
_PROTECTING = frozenset(
    {"ip_forward", "forwarding", "accept_redirects", "accept_source_route", "accept_ra", "send_redirects"}
)
_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
# Nobody on a network says where the amphora's packets go; for each interface, there is no switch for all.
_EACH = (
    ("ipv4", "accept_redirects"),
    ("ipv4", "send_redirects"),
    ("ipv4", "accept_source_route"),
    ("ipv6", "accept_redirects"),
)

_libc = ctypes.CDLL(None, use_errno=True)


def own_mounts(work: Path, user: int) -> Path:
    """In a mount namespace of our own: /proc shows our PID namespace, and ``work`` gets a path for everybody.

    HAProxy goes by path to the directory that it is started in, and the directories above ``work`` may be
    closed to it. So ``work`` is mounted where nothing of interest is. Returns its path. Certificates and
    keys, in a directory of ``user`` there, are in memory.
    """
    if os.getpid() != 1 and _libc.unshare(_CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, f"no mount namespace of our own: {os.strerror(number)}")
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
    if Path("/proc/self").readlink() != Path(str(os.getpid())):
        _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _mount(os.fsencode(work), os.fsencode(_WORK), None, _MS_BIND)
    secret = _WORK / _SECRET
    if secret.is_symlink():  # an agent of before may have left it, to have something else covered
        secret.unlink()
    secret.mkdir(mode=0o700, exist_ok=True)
    options = f"mode=700,uid={user},gid={user},size={_SECRET_BYTES}"
    _mount(b"none", os.fsencode(secret), b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options.encode())
    return _WORK


def own_name(name: str) -> None:
    """A host name that is the amphora's alone, which is in its records of flows."""
    if _libc.unshare(_CLONE_NEWUTS):
        number = ctypes.get_errno()
        raise OSError(number, f"no host name of our own: {os.strerror(number)}")
    socket.sethostname(name)


def adopt_orphans() -> None:
    """Be the parent of daemons started below, as PID 1 is by nature."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int, signal: int) -> None:
    """Get ``signal`` when the parent process ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal)


def drop_privileges(user: int) -> None:
    """Become ``user`` for good; 0 stays root."""
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # HAProxy is of the same user, and shall not look into this process or command it.
    _prctl(_PR_SET_DUMPABLE, 0)


def keep_capabilities() -> None:
    """Give up, for good, the capabilities that the root part and what it starts do not use."""
    kept = sum(1 << number for number in _CAPABILITIES.values())
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for number in range(last + 1):
        if not kept >> number & 1:
            _prctl(_PR_CAPBSET_DROP, number)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    # Effective, permitted and inheritable ones, the lower 32 of each first.
    low, high = kept & 0xFFFF_FFFF, kept >> 32
    if _libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)):
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":\t")
        if name in ("CapEff", "CapPrm", "CapBnd") and int(value, 16) & ~kept:
            raise OSError(f"capabilities that should be given up are still there: {line}")


def prepare_network(user: int) -> None:
    """Settings of this network namespace that everything else counts on, and the loopback link.

    user: the agent's, who may ask members for an echo.
    """
    for name, value in _SETTINGS.items():
        set_network(name, value)
    set_network(_PING_GROUPS, f"{user} {user}")
    # The host may have forwarding on for single interfaces, which are born with it then, whatever the switch
    # says.
    for interface in _interfaces("ipv4"):
        set_network(f"ipv4/conf/{interface}/forwarding", "0")
    for family, setting in _EACH:
        for interface in _interfaces(family):
            set_network(f"{family}/conf/{interface}/{setting}", "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        _, flags = struct.unpack(
            "16sH", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH", b"lo", 0))
        )
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH", b"lo", flags | _IFF_UP))


def set_network(name: str, value: str) -> None:
    """Write one setting below /proc/sys/net and read it back; a kernel without it is not an error.

    Raises OSError where one that protects is not as it shall be.
    """
    path = Path("/proc/sys/net") / name
    if not path.exists():
        return  # IPv6 may be off, and kernels differ
    refused = ""
    try:
        path.write_text(value)
    except OSError as error:  # it may be as it shall be
        refused = f" ({error.strerror})"
    found = " ".join(path.read_text().split())
    if found != value:
        fault = f"cannot set {path} to {value}: it is {found}{refused}"
        if value == "0" and name.rpartition("/")[2] in _PROTECTING:
            raise OSError(fault)
        log("root", fault)


def forward(*, on: bool) -> None:
    """Forward what the packet filter lets, or nothing. The kernel changes other settings along with it."""
    value = "1" if on else "0"
    if read_network("ipv4/ip_forward") == int(on):
        return
    for name in _FORWARDING:
        set_network(name, value)
    for name, usual in _SETTINGS.items():
        if name not in _FORWARDING:
            set_network(name, usual)
    for family, setting in _EACH:
        for interface in _interfaces(family):
            set_network(f"{family}/conf/{interface}/{setting}", "0")


def read_network(name: str) -> int:
    """The number that one setting below /proc/sys/net has; 0 where there is no such setting."""
    try:
        return int((Path("/proc/sys/net") / name).read_text())
    except (OSError, ValueError):
        return 0


def trim_memory() -> None:
    """Give back what the C library keeps of memory that is free; others than glibc have no such call."""
    with suppress(AttributeError):
        _libc.malloc_trim(0)


def raise_open_files() -> None:
    """Allow as many open files as the host lets us; HAProxy's connections are bounded by it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, max(hard, _OPEN_FILES)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # without CAP_SYS_RESOURCE


def links_by_mac() -> dict[str, str]:
    """MAC address -> name of every link but the loopback; the first one where they share a MAC."""
    found: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("256s", name.encode()))
            if name != "lo":
                found.setdefault(answer[18:24].hex(":"), name)
    return found


def interface_of(address: str) -> str:
    """The name of the interface that has an address; "" when none has (a name, or all addresses)."""
    return _interface_of_v6(address) if ":" in address else _interface_of_v4(address)


def children() -> list[int]:
    """The pids of this process's children."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()]


def _interfaces(family: str) -> list[str]:
    try:
        return [path.name for path in Path(f"/proc/sys/net/{family}/conf").iterdir()]
    except FileNotFoundError:  # IPv6 may be off
        return []


def _interface_of_v4(address: str) -> str:
    answers = array.array("B", bytes(_IFREQ * _INTERFACES))
    where, length = answers.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFCONF, struct.pack("iP", length, where))
    for start in range(0, struct.unpack("iP", answer)[0], _IFREQ):
        if socket.inet_ntoa(answers[start + 20 : start + 24].tobytes()) == address:
            name = answers[start : start + 16].tobytes().partition(b"\0")[0].decode()
            return name.partition(":")[0]  # an address may have a label of its own
    return ""


def _interface_of_v6(address: str) -> str:
    try:
        wanted = socket.inet_pton(socket.AF_INET6, address).hex()
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # not an address, or a kernel without IPv6
        return ""
    return next((line.split()[-1] for line in lines if line.startswith(wanted)), "")


def _mount(
    source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None
) -> None:
    if _libc.mount(source, target, kind, flags, options):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {target.decode()}: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
