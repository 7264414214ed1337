"""The whole of HAProxy's configuration for one load balancer."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hydria.dataplane.haproxy import (
    backend,
    holding,
    logs,
    metrics,
    persistence,
    process,
    rate_limit,
    server,
    tls,
    writer,
)  # fmt: skip
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.frontend import frontend, judges_paths, mode
from hydria.dataplane.haproxy.policy import Route
from hydria.dataplane.haproxy.rate_limit import Limit
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.statuses import PolicyAction
from hydria.model.tree import Tree
from hydria.wire.capabilities import NONE, Capabilities, Capability
from hydria.wire.state import File, Server


@dataclass(frozen=True, slots=True)
class HAProxyArtifacts:
    """What the agent gets; see :class:`~hydria.wire.state.DesiredState`.

    owners: the id of the object that each line of the configuration belongs to, "" for none. references: the
    names of the files that hold secrets, with what they are called in listeners and pools.
    """

    config: str = ""
    structure: str = ""
    servers: tuple[Server, ...] = ()
    files: tuple[File, ...] = ()
    owners: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)


def render(
    tree: Tree,
    tuning: Tuning,
    secrets: Mapping[str, str | None] | None = None,
    capabilities: Capabilities = NONE,
) -> HAProxyArtifacts:
    """The configuration of a tree of desired objects (:meth:`Tree.desired`); "" if nothing is to be served.

    secrets: PEM text of everything that listeners and pools refer to (:class:`~.files.Files`).
    capabilities: of the HAProxy that is to load it.
    Takes time in proportion to the number of servers. Raises Unwritable for a text that cannot be written.
    """
    vips = tree.vip_addresses()
    listeners = [
        listener for listener in tree.listeners if listener.admin_state_up and listener.transport == "TCP"
    ]
    if not (tree.load_balancer.admin_state_up and listeners and vips):
        return HAProxyArtifacts()
    listeners.sort(key=lambda listener: (listener.created_at, listener.id))
    branches, files = _Branches(tree), Files(secrets or {})
    frontends: list[Section] = []
    backends: list[Section] = []
    servers: list[Server] = []
    for listener in listeners:
        pool = branches.pool_of(listener)
        name = backend.name(pool, listener) if pool else ""
        routes = branches.routes_of(listener)
        limits = branches.limits_of(listener)
        front = Section.named("frontend", listener.id, owner=listener.id)
        with front.of(listener.id):
            frontend(front, listener, vips, name, tuning, files, routes, limits)
        frontends.append(front)
        for pool in branches.pools_of(listener):
            name = backend.name(pool, listener)
            monitor = branches.monitors.get(pool.id)
            section = Section.named("backend", name, owner=pool.id)
            with section.of(pool.id):
                backend.backend(section, pool, listener, monitor, vips[0], tuning, capabilities)
                members = branches.members[pool.id]
                for each in server.servers(name, pool, listener, members, monitor, files, capabilities):
                    section.add_server(*server.words(each))
                    servers.append(each)
            backends.append(section)
    sections = [
        *_process(listeners, branches, tuning, files, capabilities),
        *frontends,
        *backends,
        *metrics.sections(listeners),
        *logs.sections(tuning, capabilities),
    ]
    structure = writer.text(sections, live=False)
    return HAProxyArtifacts(
        writer.text(sections),
        hashlib.sha256(structure.encode()).hexdigest(),
        tuple(servers),
        files.made(),
        writer.owners(sections),
        files.references,
    )


def _process(
    listeners: Sequence[Listener],
    branches: _Branches,
    tuning: Tuning,
    files: Files,
    capabilities: Capabilities,
) -> Iterator[Section]:
    section = process.global_section(listeners, tuning)
    limited = [(listener, limits) for listener in listeners if (limits := branches.limits_of(listener))]
    if any(mode(listener) == "http" for listener, _ in limited):
        if Capability.LUA_BOOLEANS in capabilities:
            section.add("tune.lua.bool-sample-conversion", "normal")
        section.add("lua-load-per-thread", files.program(holding.SCRIPT))
    if any(judges_paths(branches.routes_of(each), branches.limits_of(each)) for each in listeners):
        section.add("expose-experimental-directives")  # for normalize-uri
    if any(map(tls.terminates, listeners)):
        # Sessions in HAProxy's cache are worth something on all listeners, so who is let in without a
        # certificate on one of them would be on all. Tickets are only with the listener that gave them.
        section.add("tune.ssl.cachesize", 0)
    yield section
    yield process.defaults_section()
    sticks = any(
        persistence.uses_table(pool.session_persistence, mode(listener))
        for listener in listeners
        for pool in branches.pools_of(listener)
    )
    if limited or sticks:
        peers = process.peers_section()
        for listener, limits in limited:
            with peers.of(listener.id):
                rate_limit.tables(peers, listener, limits, mode(listener), tuning)
        yield peers


class _Branches:
    """What is enabled of a tree, found by the id of what it hangs on."""

    def __init__(self, tree: Tree) -> None:
        self._pools: Mapping[str, Pool] = {pool.id: pool for pool in tree.pools if pool.admin_state_up}
        self.monitors: Mapping[str, HealthMonitor] = {
            monitor.pool_id: monitor for monitor in tree.health_monitors if monitor.admin_state_up
        }
        self.members: defaultdict[str, list[Member]] = defaultdict(list)
        for member in sorted(tree.members, key=lambda member: (member.created_at, member.id)):
            self.members[member.pool_id].append(member)

        rules: defaultdict[str, list[L7Rule]] = defaultdict(list)
        for rule in sorted(tree.l7rules, key=lambda rule: (rule.created_at, rule.id)):
            if rule.admin_state_up:
                rules[rule.l7policy_id].append(rule)
        self._policies: defaultdict[str, list[tuple[L7Policy, tuple[L7Rule, ...]]]] = defaultdict(list)
        for policy in sorted(tree.l7policies, key=lambda policy: (policy.position, policy.id)):
            if policy.admin_state_up and rules[policy.id]:
                self._policies[policy.listener_id].append((policy, tuple(rules[policy.id])))

        self._limits: defaultdict[str, list[Limit]] = defaultdict(list)
        for each in sorted(tree.limit_policies, key=lambda policy: (policy.created_at, policy.id)):
            found = tree.limit_rules_of(each.id)
            if found:
                self._limits[each.listener_id].append(Limit(each, found))

    def limits_of(self, listener: Listener) -> tuple[Limit, ...]:
        """The listener's rate limit policies that have a rule; disabled ones too, for that is live."""
        return () if metrics.serves(listener) else tuple(self._limits[listener.id])

    def pool_of(self, listener: Listener) -> Pool | None:
        """Where the listener's traffic goes; a disabled pool takes none."""
        return self._pools.get(listener.default_pool_id or "")

    def routes_of(self, listener: Listener) -> tuple[Route, ...]:
        """The listener's L7 policies that decide anything, in the order in which they are tried.

        One that redirects to a disabled pool decides nothing.
        """
        if mode(listener) != "http":
            return ()
        routes = []
        for policy, rules in self._policies[listener.id]:
            pool = self._pools.get(policy.redirect_pool_id or "")
            if pool or policy.action is not PolicyAction.REDIRECT_TO_POOL:
                routes.append(Route(policy, rules, backend.name(pool, listener) if pool else ""))
        return tuple(routes)

    def pools_of(self, listener: Listener) -> tuple[Pool, ...]:
        """Every pool that the listener sends traffic to, each once."""
        redirected = (
            self._pools.get(route.policy.redirect_pool_id or "") for route in self.routes_of(listener)
        )
        return tuple({pool.id: pool for pool in (self.pool_of(listener), *redirected) if pool}.values())
