"""UDP and SCTP listeners as services of the amphora's packet filter (contract 4.10).

HAProxy does not speak these protocols, so they become numbers and addresses that the agent makes rules of.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator

from hydria.dataplane.tuning import Tuning
from hydria.model.health_monitor import HealthMonitor
from hydria.model.kinds import plain_address
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.statuses import Algorithm, ListenerProtocol, MonitorType
from hydria.model.tree import Tree
from hydria.wire.state import Probe, Service, Target

_PROTOCOLS = {ListenerProtocol.UDP: "udp", ListenerProtocol.SCTP: "sctp"}
_BALANCE = {
    Algorithm.ROUND_ROBIN: "turn",
    Algorithm.LEAST_CONNECTIONS: "least",
    Algorithm.SOURCE_IP: "source",
    Algorithm.SOURCE_IP_PORT: "flow",
}
_STICKY_SECONDS = 360


def render(tree: Tree, tuning: Tuning) -> tuple[Service, ...]:
    """The services of a tree of desired objects; none for a load balancer that is administratively down."""
    if not tree.load_balancer.admin_state_up:
        return ()
    served = [each for each in tree.listeners if each.admin_state_up and each.protocol in _PROTOCOLS]
    served.sort(key=lambda listener: (listener.created_at, listener.id))
    return tuple(_service(tree, listener, tuning) for listener in served)


def _service(tree: Tree, listener: Listener, tuning: Tuning) -> Service:
    pool = tree.pool(listener.default_pool_id)
    if pool is not None and not pool.admin_state_up:
        pool = None
    monitor = tree.monitor_of(pool.id) if pool else None
    sticky, mask4, mask6 = _persistence(pool, tuning)
    return Service(
        listener=listener.id,
        pool=pool.id if pool else "",
        protocol=_PROTOCOLS[listener.protocol],
        vips=tree.vip_addresses(),
        port=listener.protocol_port,
        targets=tuple(_target(member) for member in tree.members_of(pool.id)) if pool else (),
        allowed=tuple(listener.allowed_cidrs or ()),
        limit=max(0, listener.connection_limit),
        balance=_BALANCE[pool.lb_algorithm] if pool else "turn",
        sticky=sticky,
        mask4=mask4,
        mask6=mask6,
        preserve=bool(pool and pool.preserve_source),
        probe=_probe(monitor, tree) if monitor and monitor.admin_state_up else None,
    )


def _target(member: Member) -> Target:
    return Target(
        name=member.id,
        address=str(plain_address(member.address)),
        port=member.protocol_port,
        weight=member.weight,
        backup=member.backup,
        enabled=member.admin_state_up,
        probe_address=str(plain_address(member.monitor_address)) if member.monitor_address else "",
        probe_port=member.monitor_port or 0,
    )


def _persistence(pool: Pool | None, tuning: Tuning) -> tuple[int, int, int]:
    """Seconds, and the bits of an IPv4 and of an IPv6 address that tell clients apart."""
    if pool is None or pool.session_persistence is None:
        return 0, 32, 128
    mask4, mask6 = 32, tuning.ipv6_client_prefix
    granularity = pool.session_persistence.persistence_granularity
    if granularity:
        mask = ipaddress.ip_address(granularity)
        bits = f"{int(mask):0{mask.max_prefixlen}b}"
        # Only what comes before the first zero bit is a network.
        length = len(bits) - len(bits.lstrip("1"))
        mask4, mask6 = (length, mask6) if mask.version == 4 else (mask4, length)
    return pool.session_persistence.persistence_timeout or _STICKY_SECONDS, mask4, mask6


def _probe(monitor: HealthMonitor, tree: Tree) -> Probe:
    probe = Probe(
        kind=str(monitor.type),
        delay=max(1, monitor.delay),
        timeout=max(1, monitor.timeout),
        rise=monitor.max_retries,
        fall=monitor.max_retries_down,
    )
    if monitor.type is not MonitorType.HTTP:
        return probe
    return dataclasses.replace(
        probe,
        method=str(monitor.http_method or "GET"),
        path=monitor.url_path or "/",
        codes=tuple(_codes(monitor.expected_codes or "200")),
        version=f"{monitor.http_version}" if monitor.http_version else "",
        host=monitor.domain_name or tree.vip_addresses()[0],
    )


def _codes(text: str) -> Iterator[int]:
    """``200, 202`` or ``200-204``."""
    first, dash, last = text.partition("-")
    if dash:
        yield from range(int(first), int(last) + 1)
    else:
        yield from (int(code) for code in text.split(","))
