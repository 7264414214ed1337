"""A load balancer with everything below it, as one value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource


@dataclass(frozen=True, slots=True)
class Tree:
    """All rows of one load balancer, those on their way out included; see :meth:`desired`."""

    load_balancer: LoadBalancer
    listeners: tuple[Listener, ...] = ()
    pools: tuple[Pool, ...] = ()
    members: tuple[Member, ...] = ()
    health_monitors: tuple[HealthMonitor, ...] = ()
    l7policies: tuple[L7Policy, ...] = ()
    l7rules: tuple[L7Rule, ...] = ()
    limit_policies: tuple[RateLimitPolicy, ...] = ()
    limit_rules: tuple[RateLimitRule, ...] = ()

    def desired(self) -> Tree:
        """The tree without what is being deleted, and without what hangs on it."""
        listeners = {listener.id: listener for listener in self.listeners if listener.desired}
        pools = {pool.id: pool for pool in self.pools if pool.desired}
        policies = {
            policy.id: policy
            for policy in self.l7policies
            if policy.desired and policy.listener_id in listeners
        }
        limits = {
            policy.id: policy
            for policy in self.limit_policies
            if policy.desired and policy.listener_id in listeners
        }
        return Tree(
            self.load_balancer,
            tuple(listeners.values()),
            tuple(pools.values()),
            tuple(member for member in self.members if member.desired and member.pool_id in pools),
            tuple(
                monitor for monitor in self.health_monitors if monitor.desired and monitor.pool_id in pools
            ),
            tuple(policies.values()),
            tuple(rule for rule in self.l7rules if rule.desired and rule.l7policy_id in policies),
            tuple(limits.values()),
            tuple(rule for rule in self.limit_rules if rule.desired and rule.rate_limit_policy_id in limits),
        )

    def children(self) -> Iterator[Resource]:
        """Every object below the load balancer."""
        yield from self.listeners
        yield from self.pools
        yield from self.members
        yield from self.health_monitors
        yield from self.l7policies
        yield from self.l7rules
        yield from self.limit_policies
        yield from self.limit_rules

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

    def policies_of(self, listener_id: str) -> tuple[L7Policy, ...]:
        """A listener's L7 policies, in the order in which they are tried."""
        policies = [policy for policy in self.l7policies if policy.listener_id == listener_id]
        return tuple(sorted(policies, key=lambda policy: (policy.position, policy.created_at, policy.id)))

    def rules_of(self, policy_id: str) -> tuple[L7Rule, ...]:
        """An L7 policy's rules, in the order of their creation."""
        rules = [rule for rule in self.l7rules if rule.l7policy_id == policy_id]
        return tuple(sorted(rules, key=lambda rule: (rule.created_at, rule.id)))

    def limit_policies_of(self, listener_id: str) -> tuple[RateLimitPolicy, ...]:
        """A listener's rate limit policies, in the order of their creation."""
        policies = [policy for policy in self.limit_policies if policy.listener_id == listener_id]
        return tuple(sorted(policies, key=lambda policy: (policy.created_at, policy.id)))

    def limit_rules_of(self, policy_id: str) -> tuple[RateLimitRule, ...]:
        """A rate limit policy's rules, in the order of their creation."""
        rules = [rule for rule in self.limit_rules if rule.rate_limit_policy_id == policy_id]
        return tuple(sorted(rules, key=lambda rule: (rule.created_at, rule.id)))

    def pools_by_listener(self) -> Mapping[str, tuple[str, ...]]:
        """Listener -> the pools that it sends traffic to: its default pool, then those of its policies.

        Of its L7 policies those count that are enabled and have a rule (contract 1.12).
        """
        pools: defaultdict[str, list[str]] = defaultdict(list)
        for listener in self.listeners:
            if listener.default_pool_id is not None:
                pools[listener.id].append(listener.default_pool_id)
        ruled = {rule.l7policy_id for rule in self.l7rules if rule.desired}
        for policy in sorted(self.l7policies, key=lambda policy: policy.position):
            if policy.redirect_pool_id and policy.desired and policy.admin_state_up and policy.id in ruled:
                pools[policy.listener_id].append(policy.redirect_pool_id)
        return {listener_id: tuple(dict.fromkeys(ids)) for listener_id, ids in pools.items()}

    def listeners_by_pool(self) -> Mapping[str, tuple[str, ...]]:
        """Pool -> the listeners that send traffic to it."""
        listeners: defaultdict[str, list[str]] = defaultdict(list)
        for listener_id, pool_ids in self.pools_by_listener().items():
            for pool_id in pool_ids:
                listeners[pool_id].append(listener_id)
        return {pool_id: tuple(ids) for pool_id, ids in listeners.items()}

    def vip_addresses(self) -> tuple[str, ...]:
        """All addresses of the VIP, the primary one first."""
        balancer = self.load_balancer
        addresses = [balancer.vip_address, *(vip.get("ip_address") for vip in balancer.additional_vips)]
        return tuple(address for address in addresses if address)
