"""What this host has and lacks for the embedded drivers, in sentences for the operator."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS: Mapping[str, str] = {
    "ip": "iproute2",
    "nft": "nftables",
    "haproxy": "haproxy",
}
_NAMESPACES = ("net", "pid", "mnt")


def missing() -> list[str]:
    """What the embedded drivers need and do not find, each with what to do; empty when all is there."""
    found = []
    if os.geteuid() != 0:
        found.append("The netns and bridge drivers need root: start Hydria as root.")
    for program, package in _PROGRAMS.items():
        if find(program) is None:
            found.append(f"The program {program} is missing: install the package {package}.")
    for kind in _NAMESPACES:
        if not Path(f"/proc/self/ns/{kind}").exists():
            found.append(f"The kernel has no {kind} namespaces, which amphorae on this host live in.")
    if not Path("/proc/sys/net/ipv4/ip_forward").exists():
        found.append("/proc/sys/net is missing: mount /proc.")
    elif os.geteuid() == 0 and not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        found.append("/proc/sys/net is read-only, as in an unprivileged container: forwarding cannot be set.")
    return found


def weaker(first_user: int) -> list[str]:
    """What keeps amphorae from being as well enclosed as they could be; empty when nothing does."""
    ids = (first_user, first_user + (1 << 24))
    limit = Path("/proc/sys/user/max_user_namespaces")
    reason = ""
    if not Path("/proc/self/ns/user").exists():
        reason = "the kernel has none"
    elif limit.exists() and int(limit.read_text()) == 0:
        reason = "the sysctl user.max_user_namespaces is 0"
    elif not all(_is_mapped(number) for number in ids):
        reason = f"this container has not the numbers {ids[0]} and {ids[1]} (set [netns] first_user)"
    if not reason:
        return []
    return [
        (
            f"Amphorae have no user namespaces, for {reason}: root in an amphora is root of the host, though"
            " with few capabilities and few files."
        )
    ]


def _is_mapped(number: int) -> bool:
    """Whether the user namespace of this process has a user."""
    lines = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(int(start) <= number < int(start) + int(count) for start, _, count in lines)


def find(program: str) -> str | None:
    """Where a program is, also for users whose PATH leaves out /usr/sbin."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SEARCH_PATH}")


def environment() -> dict[str, str]:
    """The environment for programs of the distribution: nothing of the caller's but where programs are."""
    return {"PATH": _SEARCH_PATH, "LC_ALL": "C.UTF-8"}


def has_ipv6() -> bool:
    """Whether the kernel speaks IPv6."""
    return Path("/proc/sys/net/ipv6").is_dir()
