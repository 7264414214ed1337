"""The statuses of a load balancer and everything below it (contract 1.9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hydria.api import views
from hydria.store.status_rows import StatusRow

Branch = dict[str, object]
_ERROR = "ERROR"
_DELETING = "PENDING_DELETE"


def status_tree(balancer: StatusRow, rows: Sequence[StatusRow]) -> Branch:
    """The body of the response. A pool that no listener uses is left out, one that two use is there twice."""
    by_kind: defaultdict[str, list[StatusRow]] = defaultdict(list)
    for row in rows:
        by_kind[row.kind].append(row)
    pools = _pools(by_kind)
    used = _pools_by_listener(by_kind)
    listeners = [
        _statuses(listener) | {"pools": [pools[pool] for pool in used[listener.id] if pool in pools]}
        for listener in by_kind["listeners"]
    ]
    return {"statuses": {"loadbalancer": _statuses(balancer) | {"listeners": listeners}}}


def _pools_by_listener(by_kind: Mapping[str, Sequence[StatusRow]]) -> Mapping[str, Sequence[str]]:
    """Listener -> the pools that it sends traffic to: its default pool, then those of its policies."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for listener in by_kind["listeners"]:
        if listener.above is not None:
            found[listener.id][listener.above] = None
    for policy in sorted(by_kind["l7policies"], key=lambda policy: policy.number or 0):
        found[str(policy.above)][str(policy.other)] = None
    return defaultdict(tuple, {listener: tuple(pools) for listener, pools in found.items()})


def _pools(by_kind: Mapping[str, Sequence[StatusRow]]) -> Mapping[str, Branch]:
    """Id -> a pool with its monitor and members."""
    monitors: dict[str | None, StatusRow] = {}
    for monitor in by_kind["health_monitors"]:
        present = monitors.get(monitor.above)
        if present is None or present.provisioning_status == _DELETING:
            monitors[monitor.above] = monitor
    members: defaultdict[str | None, list[Branch]] = defaultdict(list)
    for member in by_kind["members"]:
        shown = _statuses(member, address=member.other, protocol_port=member.number)
        members[member.above].append(shown)
    pools = {}
    for pool in by_kind["pools"]:
        shown = _statuses(pool)
        if pool.id in monitors:
            shown["health_monitor"] = _statuses(monitors[pool.id], type=monitors[pool.id].other)
        pools[pool.id] = shown | {"members": members[pool.id]}
    return pools


def _statuses(row: StatusRow, **more: object) -> Branch:
    shown: Branch = {
        "id": row.id,
        "name": row.name,
        **more,
        "operating_status": row.operating_status,
        "provisioning_status": row.provisioning_status,
    }
    if row.fault is not None and row.provisioning_status == _ERROR:
        shown["fault"] = views.fault(row.fault, row.since)
    return shown
