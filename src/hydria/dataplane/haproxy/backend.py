"""A pool as HAProxy backends: one per listener that sends it traffic, since timeouts are the listener's."""

from __future__ import annotations

from collections.abc import Mapping

from hydria.dataplane.haproxy import check, persistence
from hydria.dataplane.haproxy.frontend import mode
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.statuses import Algorithm
from hydria.wire.capabilities import Capabilities

# Each of them lets HAProxy take up servers while it runs. Of hashes only the consistent one does, which also
# moves the fewest clients; without the avalanche it would send neighboring addresses to the same member.
_CONSISTENT = ("hash-type", "consistent", "sdbm", "avalanche")
_BALANCE: Mapping[Algorithm, tuple[tuple[str, ...], ...]] = {
    Algorithm.ROUND_ROBIN: (("balance", "roundrobin"),),
    Algorithm.LEAST_CONNECTIONS: (("balance", "leastconn"),),
    Algorithm.SOURCE_IP: (("balance", "source"), _CONSISTENT),
    Algorithm.SOURCE_IP_PORT: (
        ("tcp-request", "content", "set-var(txn.port)", "src_port"),
        ("balance", "hash", "src,concat(:,txn.port)"),
        _CONSISTENT,
    ),
}


def name(pool: Pool, listener: Listener) -> str:
    """The backend's name, in which the agent finds the pool's id again."""
    return f"{pool.id}:{listener.id}"


def backend(
    section: Section,
    pool: Pool,
    listener: Listener,
    monitor: HealthMonitor | None,
    vip_address: str,
    tuning: Tuning,
    capabilities: Capabilities,
) -> None:
    """Fill the backend's section, all but its servers.

    ``monitor``: the one that is enabled, if any. ``vip_address``: what probes give as their host.
    """
    section.add("mode", mode(listener))
    for words in _BALANCE[pool.lb_algorithm]:
        section.add(*words)
    section.add("option", "allbackups")
    section.add("timeout", "connect", f"{listener.timeout_member_connect}ms")
    section.add("timeout", "server", f"{listener.timeout_member_data}ms")
    if mode(listener) == "http":
        section.add("http-reuse", "safe")
        _retry(section, pool)
    if pool.session_persistence:
        persistence.persist(section, pool.session_persistence, mode(listener), tuning, capabilities)
    if monitor:
        with section.of(monitor.id):
            check.probe(section, monitor, vip_address, encrypted=pool.tls_enabled)


def _retry(section: Section, pool: Pool) -> None:
    """Send a request again whose connection ended without an answer, if it is safe (RFC 9110, section 9.2.1).

    Members close kept connections when they like, also while the next request arrives. Nobody knows whether
    they have acted on it, so any other request is never sent twice (section 9.2.2): HAProxy closes the
    client's connection, too, if that was a kept one, or answers 502. By default it does so for all methods;
    up to 2.6 it still made another connection after a reset that came before the request was sent.
    """
    section.add("retry-on", "conn-failure", "empty-response")
    section.add(
        "http-request", "disable-l7-retry", "unless", "METH_GET", "||", "METH_OPTIONS"
    )  # GET: and HEAD
    if pool.session_persistence or pool.lb_algorithm is Algorithm.SOURCE_IP:
        # Whom a client belongs to is tried again, before it is sent to another one, and loses its session.
        section.add("option", "redispatch", 2)
