"""Hydria's instances on this host, found by what is there and not by a state directory, which may be lost.

Whatever an instance makes on the host carries its id: namespaces of amphorae, links, the nftables table, and
bridges, whose alias names the state directory. Its programs hold a name in the kernel's list of sockets for
as long as they live.
"""

from __future__ import annotations

import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydria.drivers import state_dir
from hydria.drivers.compute import namespaces, netns
from hydria.drivers.netlink import Netlink
from hydria.drivers.network import addressing, bridge, firewall
from hydria.settings import Settings

_ID = "([0-9a-f]{6})"
_NAMESPACE = re.compile(f"hy{_ID}-[0-9a-f]{{8}}")
_SOCKETS = Path("/proc/net/unix")
_PROGRAM = re.compile(f"@hydria-{_ID}-([0-9]+)$", re.MULTILINE)


@dataclass(slots=True)
class HostInstance:
    """What one instance has on this host.

    namespaces: its amphorae. programs: process ids of its controllers. directory: its state directory as the
    bridges name it, None where none does.
    """

    id: str
    namespaces: list[str] = field(default_factory=list)
    programs: list[int] = field(default_factory=list)
    directory: Path | None = None

    @property
    def found_directory(self) -> Path | None:
        """The state directory, if it is still there and still this instance's."""
        if self.directory is None or state_dir.existing_instance_id(self.directory) != self.id:
            return None
        return self.directory


def announce(instance: str) -> socket.socket:
    """Have this program be found as one of an instance's for as long as the socket is open."""
    announced = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    announced.bind(f"\0hydria-{instance}-{os.getpid()}")
    return announced


def found() -> list[HostInstance]:
    """Every instance that has something on this host; needs root."""
    seen: dict[str, HostInstance] = {}

    def of(identifier: str) -> HostInstance:
        return seen.setdefault(identifier, HostInstance(identifier))

    for name in namespaces.names("hy"):
        if known := _NAMESPACE.fullmatch(name):
            of(known[1]).namespaces.append(name)
    for link in Netlink().links():
        if link.name.startswith("hy") and link.group >> 24 == 1:
            of(f"{link.group & 0xFFFFFF:06x}")
        elif (identifier := addressing.instance_of(link.name)) is not None:
            directory = Path(link.alias) if link.alias else None
            of(identifier).directory = of(identifier).directory or directory
    for table in firewall.deployments():
        of(table.removeprefix(firewall.PREFIX))
    for identifier, pids in _programs().items():
        of(identifier).programs = pids
    return [seen[identifier] for identifier in sorted(seen)]


def table(instances: Iterable[HostInstance]) -> Iterator[str]:
    """Lines that tell an operator what there is."""
    yield f"{'INSTANCE':10}{'AMPHORAE':10}{'PROGRAMS':16}STATE DIRECTORY"
    for each in instances:
        programs = " ".join(str(pid) for pid in each.programs) or "none"
        where = str(each.directory or "unknown")
        if each.directory and not each.found_directory:
            where += " (not there any more)"
        yield f"{each.id:10}{len(each.namespaces):<10}{programs:16}{where}"


def end(instance: HostInstance, settings: Settings) -> None:
    """Remove all that an instance has on this host, and from its state directory what is of no use then."""
    directory = instance.found_directory
    if directory is not None:
        own = replace(settings, DEFAULT=replace(settings.DEFAULT, state_dir=str(directory)))
        netns.NetnsComputeDriver(own).cleanup()
        bridge.BridgeNetworkDriver(own).cleanup()
    else:
        netlink = Netlink()
        netns.dismantle(instance.id, netlink)
        bridge.dismantle(instance.id, netlink)


def _programs() -> Mapping[str, list[int]]:
    programs = defaultdict(list)
    for identifier, pid in _PROGRAM.findall(_SOCKETS.read_text()):
        programs[identifier].append(int(pid))
    return programs
