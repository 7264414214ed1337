"""Names that HAProxy's configuration and the agent have to agree on: proxies that are nobody's, and sockets.

HAProxy's other proxies are named after listeners and pools.
"""

from __future__ import annotations

# What the name of a proxy of our own begins with; an id never does. Heartbeats and metrics leave it out.
INTERNAL = "_"
# What is between the member's id and a number in the names of servers that stand in for the one that is named
# after the member (amphora/leaving.py).
STAND_IN = ":"
# Where HAProxy's own Prometheus exporter listens, for the agent alone; relative to the work directory.
EXPORTER_SOCKET = "exporter.sock"
# Where the agent answers GET /metrics, for HAProxy alone.
METRICS_SOCKET = "metrics.sock"
# Where the agent says whether a member answers pings, for HAProxy alone: what ends the member's name, and the
# word for one that does.
PING_SOCKET = "ping.sock"
PING_END = ";"
PING_UP = "up"
# HAProxy's name among its peers, and where it listens as one; and the agent's, which teaches it that there is
# nothing to learn (amphora/peers.py). HAProxy looks for that one in vain, at a socket that is none.
PEER = "amphora"
PEER_SOCKET = "peers.sock"
PEER_TEACHER = "agent"
TEACHER_SOCKET = "no-peer.sock"
# Where records of flow logs pass from a ring to a receiver, within HAProxy.
LOGS_SOCKET = "logs.sock"


def member_of(server: str) -> str:
    """The id of the member that a server is."""
    return server.partition(STAND_IN)[0]
