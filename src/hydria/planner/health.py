"""What a heartbeat means: operating statuses (contract 1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import AmphoraRole, OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.wire.heartbeat import Report

_MEMBER = {
    "UP": OperatingStatus.ONLINE,
    "DOWN": OperatingStatus.ERROR,
    "DRAIN": OperatingStatus.DRAINING,
    "MAINT": OperatingStatus.OFFLINE,
    "NO_CHECK": OperatingStatus.NO_MONITOR,
}
_WORKING = frozenset({OperatingStatus.ONLINE, OperatingStatus.NO_MONITOR})
# Who is believed first where VRRP says nothing.
_RANK = {AmphoraRole.MASTER: 0, AmphoraRole.STANDALONE: 1, AmphoraRole.BACKUP: 2}


@dataclass(frozen=True, slots=True)
class Part:
    """What of an object matters for operating statuses. pool_id and weight: of members alone."""

    resource: type[Resource]
    id: str
    provisioning_status: ProvisioningStatus
    operating_status: OperatingStatus
    admin_state_up: bool = True
    pool_id: str | None = None
    weight: int = 0

    @property
    def desired(self) -> bool:
        """Whether the object is part of the desired state."""
        return not self.provisioning_status.going


@dataclass(frozen=True, slots=True)
class Observed:
    """A load balancer and the objects below it that heartbeats say something about."""

    balancer: Part
    project_id: str
    applied_generation: int
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, tree: Tree) -> Observed:
        """Those of a whole tree."""
        balancer = tree.load_balancer
        below = (*tree.listeners, *tree.pools, *tree.members, *tree.health_monitors)
        parts = tuple(_part(item) for item in below)
        return cls(_part(balancer), balancer.project_id, balancer.applied_generation, parts)


@dataclass(frozen=True, slots=True)
class Voice:
    """The last report of one of a load balancer's amphorae. has_vip: VRRP says that it carries the VIP."""

    report: Report
    role: AmphoraRole
    has_vip: bool = False


def believed(voices: Iterable[Voice]) -> Report | None:
    """The report that statuses follow from: that of the amphora which carries the traffic.

    One alone, so that two amphorae which see a member differently cannot make its status flap. Without a word
    of VRRP it is the MASTER, unless its HAProxy has ended; among equals the one with the lowest id.
    """
    first = min(voices, key=_trust, default=None)
    return None if first is None else first.report


def _trust(voice: Voice) -> tuple[bool, bool, int, str]:
    return not voice.has_vip, not voice.report.haproxy, _RANK[voice.role], voice.report.amphora_id


def changed_statuses(observed: Observed, report: Report) -> list[tuple[Part, OperatingStatus]]:
    """The objects whose operating status is not what the amphora says, with what it should be.

    A report of an older generation than the applied one says nothing: it was sent before the change.
    """
    if report.generation < observed.applied_generation:
        return []
    if not report.haproxy:
        # What it says about the rest is what it saw before its HAProxy ended.
        report = replace(report, listeners={}, pools={}, members={})
    kinds = _Kinds.of(observed.parts)
    members = {member.id: _member(member, report) for member in kinds.members}
    pools = {pool.id: _pool(pool, kinds.served.get(pool.id, ()), members, report) for pool in kinds.pools}
    listeners = {listener.id: _listener(listener, observed, report) for listener in kinds.listeners}
    found: list[tuple[Part, OperatingStatus]] = [
        *((member, members[member.id]) for member in kinds.members),
        *((pool, pools[pool.id]) for pool in kinds.pools),
        *((listener, listeners[listener.id]) for listener in kinds.listeners),
        *((monitor, _monitor(monitor)) for monitor in kinds.monitors),
        (observed.balancer, _load_balancer(observed.balancer, pools.values(), listeners.values())),
    ]
    return [(part, status) for part, status in found if part.desired and part.operating_status is not status]


def unserved_statuses(observed: Observed) -> list[tuple[Part, OperatingStatus]]:
    """The same while no amphora serves: what is reported by nobody, and the load balancer itself in ERROR."""
    report = Report("", 0, 0, observed.applied_generation, haproxy=False)
    balancer = observed.balancer
    found = [(part, status) for part, status in changed_statuses(observed, report) if part is not balancer]
    if balancer.admin_state_up and balancer.operating_status is not OperatingStatus.ERROR:
        found.append((balancer, OperatingStatus.ERROR))
    return found


@dataclass(frozen=True, slots=True)
class _Kinds:
    listeners: list[Part] = field(default_factory=list)
    pools: list[Part] = field(default_factory=list)
    members: list[Part] = field(default_factory=list)
    monitors: list[Part] = field(default_factory=list)
    served: dict[str | None, list[Part]] = field(default_factory=dict)  # pool id -> its members

    @classmethod
    def of(cls, parts: Iterable[Part]) -> _Kinds:
        made = cls()
        places: Mapping[Any, list[Part]] = {
            Listener: made.listeners, Pool: made.pools, Member: made.members, HealthMonitor: made.monitors,
        }  # fmt: skip
        for part in parts:
            places[part.resource].append(part)
        for member in made.members:
            made.served.setdefault(member.pool_id, []).append(member)
        return made


def _part(item: Any) -> Part:
    return Part(
        type(item),
        item.id,
        item.provisioning_status,
        item.operating_status,
        item.admin_state_up,
        getattr(item, "pool_id", None),
        getattr(item, "weight", 0),
    )


def _monitor(monitor: Part) -> OperatingStatus:
    return OperatingStatus.ONLINE if monitor.admin_state_up else OperatingStatus.OFFLINE


def _member(member: Part, report: Report) -> OperatingStatus:
    if member.id not in report.members:
        # Not rendered yet, or its pool is not in use.
        pending = member.provisioning_status is ProvisioningStatus.PENDING_CREATE
        return member.operating_status if pending else OperatingStatus.OFFLINE
    return _MEMBER.get(report.members[member.id], OperatingStatus.OFFLINE)


def _pool(
    pool: Part, owned: Sequence[Part], members: Mapping[str, OperatingStatus], report: Report
) -> OperatingStatus:
    if pool.id not in report.pools:
        return OperatingStatus.OFFLINE
    wanted = [item for item in owned if item.desired]
    served = [item for item in wanted if item.id in report.members]
    if wanted and not served and pool.provisioning_status is ProvisioningStatus.ERROR:
        return OperatingStatus.ERROR  # its members are left out
    working = [item for item in served if item.weight > 0 and members[item.id] in _WORKING]
    if served and not working:
        return OperatingStatus.ERROR
    down = any(members[item.id] is OperatingStatus.ERROR for item in served)
    return OperatingStatus.DEGRADED if down else OperatingStatus.ONLINE


def _listener(listener: Part, observed: Observed, report: Report) -> OperatingStatus:
    reported = report.listeners.get(listener.id)
    if reported is not None:
        return OperatingStatus.ONLINE if reported.status == "OPEN" else OperatingStatus.DEGRADED
    if not (listener.admin_state_up and observed.balancer.admin_state_up):
        return OperatingStatus.OFFLINE
    expected = (
        listener.provisioning_status is ProvisioningStatus.ACTIVE
        and observed.balancer.provisioning_status is ProvisioningStatus.ACTIVE
    )
    left_out = listener.provisioning_status is ProvisioningStatus.ERROR
    return OperatingStatus.ERROR if expected or left_out else OperatingStatus.OFFLINE


def _load_balancer(
    balancer: Part, pools: Iterable[OperatingStatus], listeners: Iterable[OperatingStatus]
) -> OperatingStatus:
    if not balancer.admin_state_up:
        return OperatingStatus.OFFLINE
    below = {*pools, *listeners}
    for status in (OperatingStatus.ERROR, OperatingStatus.DEGRADED):
        if status in below:
            return status
    return OperatingStatus.ONLINE
