"""Limits of an amphora: a control group of its own, version 1 or 2, where the host has them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydria.drivers.compute.sizes import Size
from hydria.model.errors import DriverError

_log = logging.getLogger(__name__)
_MOUNTS = Path("/proc/self/mounts")
_PERIOD = 100_000  # microseconds
_PROCESSES = 512  # an agent, HAProxy, and its retiring generations
_SECONDS = 2.0  # for a group to become empty once its processes have ended


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy: where, which of our controllers it has, and whether it is version 2."""

    path: Path
    controllers: frozenset[str]
    unified: bool


class ControlGroups:
    """The groups of one deployment: ``hydria-<instance>/<amphora>`` in each hierarchy."""

    def __init__(self, instance: str, hierarchies: list[Hierarchy]) -> None:
        self._parent = f"hydria-{instance}"
        self._hierarchies = [found for found in hierarchies if found.controllers]
        lacking = {"memory", "cpu", "pids"}.difference(*(found.controllers for found in hierarchies))
        if lacking:
            _log.warning(
                "This host has no control groups for %s: amphorae run without.", ", ".join(sorted(lacking))
            )

    def create(self, name: str, size: Size) -> list[Path]:
        """Make the groups of one amphora; returns the files to which a process writes 0 to join."""
        joins = []
        for hierarchy in self._hierarchies:
            parent = hierarchy.path / self._parent
            group = parent / name
            try:
                if hierarchy.unified:
                    parent.mkdir(exist_ok=True)
                    for each in (hierarchy.path, parent):
                        wanted = " ".join(f"+{controller}" for controller in sorted(hierarchy.controllers))
                        (each / "cgroup.subtree_control").write_text(wanted)
                group.mkdir(parents=True, exist_ok=True)
                for file, value in _limits(hierarchy, size).items():
                    (group / file).write_text(value)
            except OSError as error:
                _log.warning("No limits for %s from %s: %s.", name, hierarchy.path, error)
                continue
            joins.append(group / "cgroup.procs")
        return joins

    def remove(self, name: str) -> None:
        """Remove the groups of one amphora, whose processes have ended."""
        for hierarchy in self._hierarchies:
            _remove(hierarchy.path / self._parent / name)

    def names(self) -> Iterator[str]:
        """Every amphora that has a group."""
        for hierarchy in self._hierarchies:
            parent = hierarchy.path / self._parent
            if parent.is_dir():
                yield from (path.name for path in parent.iterdir() if path.is_dir())

    def cleanup(self) -> None:
        """Remove all groups of this deployment."""
        for name in set(self.names()):
            self.remove(name)
        for hierarchy in self._hierarchies:
            _remove(hierarchy.path / self._parent)


def hierarchies(mounts: Path = _MOUNTS) -> list[Hierarchy]:
    """The hierarchies of this host that have a controller which amphorae are limited by."""
    ours = {"memory", "cpu", "pids"}
    found = []
    for line in mounts.read_text().splitlines():
        _, path, kind, options, *_ = line.split()
        if kind == "cgroup":
            found.append(Hierarchy(Path(path), frozenset(ours & set(options.split(","))), unified=False))
        elif kind == "cgroup2":
            with suppress(FileNotFoundError):
                available = (Path(path) / "cgroup.controllers").read_text().split()
                found.append(Hierarchy(Path(path), frozenset(ours & set(available)), unified=True))
    return [hierarchy for hierarchy in found if hierarchy.controllers]


def _limits(hierarchy: Hierarchy, size: Size) -> Mapping[str, str]:
    memory = size.memory_mb * 1024 * 1024
    quota = int(size.processors * _PERIOD)
    limits: dict[str, str] = {}
    if "memory" in hierarchy.controllers and memory:
        limits["memory.max" if hierarchy.unified else "memory.limit_in_bytes"] = str(memory)
    if "cpu" in hierarchy.controllers and quota:
        if hierarchy.unified:
            limits["cpu.max"] = f"{quota} {_PERIOD}"
        else:
            limits |= {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)}
    if "pids" in hierarchy.controllers:
        limits["pids.max"] = str(_PROCESSES)
    return limits


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # EBUSY: an ended process still counts until it is buried
            if time.monotonic() > deadline:
                raise DriverError(f"Cannot remove the control group {group}: {error}.") from error
            time.sleep(0.001)
        else:
            return
