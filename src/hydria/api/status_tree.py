"""The statuses of a load balancer and everything below it (contract 1.9)."""

from __future__ import annotations

from hydria.api import views
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.model.tree import Tree

Branch = dict[str, object]


def status_tree(tree: Tree) -> Branch:
    """The body of the response. A pool that no listener uses is left out, one that two use is there twice."""
    balancer = tree.load_balancer
    listeners = []
    found = {pool.id: pool for pool in tree.pools}
    used = tree.pools_by_listener()
    for listener in tree.listeners:
        pools = [_pool(tree, found[pool_id]) for pool_id in used.get(listener.id, ()) if pool_id in found]
        listeners.append(_statuses(listener, name=listener.name) | {"pools": pools})
    shown = _statuses(balancer, name=balancer.name) | {"listeners": listeners}
    return {"statuses": {"loadbalancer": shown}}


def _pool(tree: Tree, pool: Pool) -> Branch:
    shown = _statuses(pool, name=pool.name)
    monitor = tree.monitor_of(pool.id)
    if monitor is not None:
        shown["health_monitor"] = _statuses(monitor, name=monitor.name, type=monitor.type)
    shown["members"] = [
        _statuses(member, name=member.name, address=member.address, protocol_port=member.protocol_port)
        for member in tree.members_of(pool.id)
    ]
    return shown


def _statuses(item: Resource, **more: object) -> Branch:
    shown = {
        "id": item.id,
        **more,
        "operating_status": item.operating_status,
        "provisioning_status": item.provisioning_status,
    }
    if item.fault is not None and item.provisioning_status is ProvisioningStatus.ERROR:
        shown["fault"] = views.fault(item.fault, item.fault_since)
    return shown
