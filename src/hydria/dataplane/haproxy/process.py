"""What concerns the HAProxy process as a whole: the global, defaults and peers sections.

All paths are relative to its work directory. It neither becomes a daemon nor changes its user by the
configuration: how it is started is the agent's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from hydria.dataplane.haproxy import logs
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.listener import Listener
from hydria.wire.proxies import PEER, PEER_SOCKET, PEER_TEACHER, TEACHER_SOCKET

PEERS = "persistence"
_MAXCONN = 1_000_000
_PIPES = 128
_BACKLOG = 65_535


def global_section(listeners: Iterable[Listener], tuning: Tuning) -> Section:
    """Limits, and the ways to reach the process while it runs."""
    limits = [connection_limit(listener, tuning) for listener in listeners]
    section = Section.named("global")
    section.add(
        "stats", "socket", "unix@stats.sock", "mode", "600", "level", "admin", "expose-fd", "listeners"
    )
    section.add("server-state-file", "server-state")
    section.add("hard-stop-after", f"{tuning.hard_stop_after}s")
    section.add_live("maxconn", min(sum(limits), _MAXCONN))
    # For splicing; the default, a quarter of maxconn at two open files each, may exceed the host's limit.
    section.add("maxpipes", _PIPES)
    section.add("nbthread", tuning.threads)
    section.add("localpeer", PEER)
    # Otherwise every start and every check of a configuration loads the system's whole CA bundle, in vain.
    section.add("httpclient.ssl.verify", "none")
    logs.settings(section, tuning)
    return section


def defaults_section() -> Section:
    """What all frontends and backends have in common."""
    section = Section.named("defaults")
    section.add("load-server-state-from-file", "global")
    # By default as many as may be served, and never more afterwards: with a small limit a burst would lose
    # SYNs, each repeated a second later, also when the limit has been raised meanwhile.
    section.add("backlog", _BACKLOG)
    section.add("retries", 3)
    # Try the next member at once; the same one would be tried again after a second only.
    section.add("option", "redispatch", 1)
    section.add("option", "splice-request")
    section.add("option", "splice-response")
    # Otherwise HAProxy counts the bytes of a connection when it ends, which may be after days.
    section.add("option", "contstats")
    return section


def peers_section() -> Section:
    """A process that retires teaches its successor who sticks to which member (manual, section 3.5)."""
    section = Section.named("peers", PEERS)
    section.add("peer", PEER, f"unix@{PEER_SOCKET}")
    section.add("peer", PEER_TEACHER, f"unix@{TEACHER_SOCKET}")
    return section


def connection_limit(listener: Listener, tuning: Tuning) -> int:
    """Connections at a time; -1, and 0, which HAProxy takes for no limit, stand for the default."""
    return listener.connection_limit if listener.connection_limit > 0 else tuning.default_connection_limit
