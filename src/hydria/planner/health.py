"""What a heartbeat means: operating statuses (contract 1.8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
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


def changed_statuses(tree: Tree, report: Report) -> list[tuple[Resource, OperatingStatus]]:
    """The objects whose operating status is not what the amphora says, with what it should be.

    A report of an older generation than the applied one says nothing: it was sent before the change.
    """
    if report.generation < tree.load_balancer.applied_generation:
        return []
    if not report.haproxy:
        # What it says about the rest is what it saw before its HAProxy ended.
        report = replace(report, listeners={}, pools={}, members={})
    members = {member.id: _member(member, report) for member in tree.members}
    pools = {pool.id: _pool(pool, tree, members, report) for pool in tree.pools}
    listeners = {listener.id: _listener(listener, tree, report) for listener in tree.listeners}
    found: list[tuple[Resource, OperatingStatus]] = [
        *((member, members[member.id]) for member in tree.members),
        *((pool, pools[pool.id]) for pool in tree.pools),
        *((listener, listeners[listener.id]) for listener in tree.listeners),
        *((monitor, OperatingStatus.ONLINE) for monitor in tree.health_monitors if monitor.admin_state_up),
        *(
            (monitor, OperatingStatus.OFFLINE)
            for monitor in tree.health_monitors
            if not monitor.admin_state_up
        ),
        (tree.load_balancer, _load_balancer(tree, pools.values(), listeners.values())),
    ]
    return [(item, status) for item, status in found if item.desired and item.operating_status is not status]


def unserved_statuses(tree: Tree) -> list[tuple[Resource, OperatingStatus]]:
    """The same while no amphora serves: what is reported by nobody, and the load balancer itself in ERROR."""
    report = Report("", 0, 0, tree.load_balancer.applied_generation, haproxy=False)
    balancer = tree.load_balancer
    found = [(item, status) for item, status in changed_statuses(tree, report) if item is not balancer]
    if balancer.admin_state_up and balancer.operating_status is not OperatingStatus.ERROR:
        found.append((balancer, OperatingStatus.ERROR))
    return found


def _member(member: Member, report: Report) -> OperatingStatus:
    if member.id not in report.members:
        # Not rendered yet, or its pool is not in use.
        pending = member.provisioning_status is ProvisioningStatus.PENDING_CREATE
        return member.operating_status if pending else OperatingStatus.OFFLINE
    return _MEMBER.get(report.members[member.id], OperatingStatus.OFFLINE)


def _pool(pool: Pool, tree: Tree, members: dict[str, OperatingStatus], report: Report) -> OperatingStatus:
    if pool.id not in report.pools:
        return OperatingStatus.OFFLINE
    wanted = [item for item in tree.members_of(pool.id) if item.desired]
    served = [item for item in wanted if item.id in report.members]
    if wanted and not served and pool.provisioning_status is ProvisioningStatus.ERROR:
        return OperatingStatus.ERROR  # its members are left out
    working = [item for item in served if item.weight > 0 and members[item.id] in _WORKING]
    if served and not working:
        return OperatingStatus.ERROR
    down = any(members[item.id] is OperatingStatus.ERROR for item in served)
    return OperatingStatus.DEGRADED if down else OperatingStatus.ONLINE


def _listener(listener: Listener, tree: Tree, report: Report) -> OperatingStatus:
    reported = report.listeners.get(listener.id)
    if reported is not None:
        return OperatingStatus.ONLINE if reported.status == "OPEN" else OperatingStatus.DEGRADED
    if not (listener.admin_state_up and tree.load_balancer.admin_state_up):
        return OperatingStatus.OFFLINE
    expected = (
        listener.provisioning_status is ProvisioningStatus.ACTIVE
        and tree.load_balancer.provisioning_status is ProvisioningStatus.ACTIVE
    )
    left_out = listener.provisioning_status is ProvisioningStatus.ERROR
    return OperatingStatus.ERROR if expected or left_out else OperatingStatus.OFFLINE


def _load_balancer(
    tree: Tree, pools: Iterable[OperatingStatus], listeners: Iterable[OperatingStatus]
) -> OperatingStatus:
    if not tree.load_balancer.admin_state_up:
        return OperatingStatus.OFFLINE
    below = {*pools, *listeners}
    for status in (OperatingStatus.ERROR, OperatingStatus.DEGRADED):
        if status in below:
            return status
    return OperatingStatus.ONLINE
