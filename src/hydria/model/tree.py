"""A load balancer with everything below it, as one value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource


@dataclass(frozen=True, slots=True)
class Tree:
    """All rows of one load balancer, those on their way out included; see :meth:`desired`."""

    load_balancer: LoadBalancer
    listeners: tuple[Listener, ...] = ()
    pools: tuple[Pool, ...] = ()
    members: tuple[Member, ...] = ()
    health_monitors: tuple[HealthMonitor, ...] = ()

    def desired(self) -> Tree:
        """The tree without what is being deleted, and without what hangs on it."""
        listeners = tuple(listener for listener in self.listeners if listener.desired)
        pools = tuple(pool for pool in self.pools if pool.desired)
        kept = {pool.id for pool in pools}
        return Tree(
            self.load_balancer,
            listeners,
            pools,
            tuple(member for member in self.members if member.desired and member.pool_id in kept),
            tuple(monitor for monitor in self.health_monitors if monitor.desired and monitor.pool_id in kept),
        )

    def children(self) -> Iterator[Resource]:
        """Every object below the load balancer."""
        yield from self.listeners
        yield from self.pools
        yield from self.members
        yield from self.health_monitors

    def pool(self, pool_id: str | None) -> Pool | None:
        """The pool with this id, if it is in the tree."""
        return next((pool for pool in self.pools if pool.id == pool_id), None)

    def members_of(self, pool_id: str) -> tuple[Member, ...]:
        """A pool's members, in the order of their creation."""
        members = [member for member in self.members if member.pool_id == pool_id]
        return tuple(sorted(members, key=lambda member: (member.created_at, member.id)))

    def monitor_of(self, pool_id: str) -> HealthMonitor | None:
        """A pool's health monitor, if it has one."""
        return next((monitor for monitor in self.health_monitors if monitor.pool_id == pool_id), None)

    def listeners_of(self, pool_id: str) -> tuple[Listener, ...]:
        """The listeners that send traffic to a pool."""
        return tuple(listener for listener in self.listeners if listener.default_pool_id == pool_id)

    def vip_addresses(self) -> tuple[str, ...]:
        """All addresses of the VIP, the primary one first."""
        balancer = self.load_balancer
        addresses = [balancer.vip_address, *(vip.get("ip_address") for vip in balancer.additional_vips)]
        return tuple(address for address in addresses if address)
