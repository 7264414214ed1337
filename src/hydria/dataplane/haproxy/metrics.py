"""PROMETHEUS listeners: metrics of the load balancer under ``GET /metrics`` (contract 4.11).

HAProxy's exporter has names of its own for everything. So a listener's requests go to the agent, which reads
the exporter on a socket that nobody else can open, and answers in Octavia's names.
"""

from __future__ import annotations

from collections.abc import Iterable

from hydria.dataplane.haproxy.writer import Section
from hydria.model.listener import Listener
from hydria.model.statuses import ListenerProtocol
from hydria.wire.proxies import EXPORTER_SOCKET, INTERNAL, METRICS_SOCKET

_AGENT = f"{INTERNAL}metrics"
_EXPORTER = f"{INTERNAL}exporter"
_SCRAPES = 2  # at a time; more wait, so that nobody keeps the agent busy by asking
_WAIT, _ANSWER = "5s", "10s"


def serves(listener: Listener) -> bool:
    """Whether the listener is for metrics."""
    return listener.protocol is ListenerProtocol.PROMETHEUS


def answer(section: Section) -> None:
    """What a PROMETHEUS listener does with requests."""
    elsewhere = ("unless", "{", "path", "/metrics", "}")
    section.add("http-request", "return", "status", 404, *elsewhere)
    section.add(
        "http-request", "return", "status", 405, "hdr", "Allow", "GET", "unless", "{", "method", "GET", "}"
    )
    section.add("default_backend", _AGENT)


def sections(listeners: Iterable[Listener]) -> list[Section]:
    """The way from these listeners to the agent and on to the exporter; none where nobody asks."""
    if not any(serves(listener) for listener in listeners):
        return []
    agent = Section.named("backend", _AGENT)
    agent.add("mode", "http")
    agent.add("timeout", "connect", "1s")
    agent.add("timeout", "queue", _WAIT)
    agent.add("timeout", "server", _ANSWER)
    agent.add("server", "agent", f"unix@{METRICS_SOCKET}", "maxconn", _SCRAPES)
    exporter = Section.named("frontend", _EXPORTER)
    exporter.add("mode", "http")
    exporter.add("bind", f"unix@{EXPORTER_SOCKET}", "mode", 600)
    exporter.add("timeout", "client", _ANSWER)
    exporter.add("http-request", "use-service", "prometheus-exporter")
    return [exporter, agent]
