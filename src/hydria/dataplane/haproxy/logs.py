"""Flow logs: one record per request or connection, sent off by HAProxy itself (contract 4.12).

UDP goes straight to the first receiver. Over TCP HAProxy fills a ring, whose one reader is a proxy of our own
with all receivers as its servers: its health checks choose the first that works. The frontends reach the ring
through a datagram socket on loopback, because a process that retires does not empty its own ring, and the
records of its last, longest connections would be lost; its successor listens there, and has one that works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hydria.dataplane.haproxy.token import harmless
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.listener import Listener
from hydria.wire.capabilities import Capabilities, Capability
from hydria.wire.logs import LONGEST, TCP, Syslog, endpoint
from hydria.wire.proxies import INTERNAL, LOGS_SOCKET

# Three kinds of section that share one space of names.
_COLLECT, _RING, _SEND = f"{INTERNAL}records", f"{INTERNAL}ring", f"{INTERNAL}receivers"
_COLLECTOR = "127.0.0.1:15514"
_RECORD = 300  # bytes of a usual one, to make a ring that holds as many as the operator says
_LEAST_RING, _LARGEST_RING = 65_536, 64 << 20
# Datagrams that are read at a time: with the usual 4, requests at full speed are faster than their records.
_BATCH = 64
_OURS = re.compile(r"\{\{\s*(\w+)\s*\}\}|(?<!%)\{(project_id|lb_id)\}")
# What there is of an HTTP request alone (configuration manual, section 8.2.4).
_OF_HTTP = re.compile(
    r"%(\{[^}]*\})?(ST|r|HM|HPO|HP|HQ|HU|HV|hrl|hr|hsl|hs|CC|CS|TR|Tr|Ta|trg|trl|tr)(?![A-Za-z])"
)
_EXPRESSION = re.compile(r"%(?:\{[^}]*\})?\[")
_ODD = re.compile(r"[^A-Za-z0-9_.:-]")


def offload(section: Section, listener: Listener, mode: str, tuning: Tuning) -> None:
    """Have a frontend log what comes through it."""
    logs = tuning.tenant_logs
    if logs is None:
        return
    target = _COLLECTOR if logs.protocol == TCP else _address(logs.targets[0])
    section.add("log", target, "len", LONGEST, "format", "rfc3164", f"local{logs.facility}", "info")
    section.add("log-format", record(tuning.log_format, listener, mode))


def record(form: str, listener: Listener, mode: str) -> str:
    """The operator's format for one listener, with the ids that HAProxy does not know."""
    ids: Mapping[str, str] = {"project_id": listener.project_id or "", "lb_id": listener.load_balancer_id}
    form = _expressions_made_harmless(form)
    form = _OURS.sub(lambda found: _ODD.sub("_", ids.get(found[1] or found[2]) or "-"), form)
    return form if mode == "http" else _OF_HTTP.sub("-", form)


def _expressions_made_harmless(form: str) -> str:
    """``%[EXPRESSION]`` and ``%{FLAGS}[EXPRESSION]``; one that has no end is for HAProxy to refuse."""
    said, done = "", 0
    for found in _EXPRESSION.finditer(form):
        end = _end(form, found.end())
        if found.start() < done or end < 0:
            continue
        said += form[done : found.end()] + harmless(form[found.end() : end])
        done = end
    return said + form[done:]


def _end(form: str, start: int) -> int:
    """Where the bracket closes that was opened before ``start``, not within an argument; -1: never."""
    quoted, inside, escaped = "", 0, False
    for position, letter in enumerate(form[start:], start):
        if escaped:
            escaped = False
        elif letter == "\\" and quoted != "'":
            escaped = True
        elif quoted:
            quoted = "" if letter == quoted else quoted
        elif letter in "\"'":
            quoted = letter
        elif letter in "()":
            inside += 1 if letter == "(" else -1
        elif letter == "]" and inside <= 0:
            return position
    return -1


def settings(section: Section, tuning: Tuning) -> None:
    """What the process as a whole has to know."""
    if tuning.tenant_logs is None:
        return
    section.add("log-send-hostname")
    if tuning.tenant_logs.protocol == TCP:
        section.add("tune.maxaccept", _BATCH)


def sections(tuning: Tuning, capabilities: Capabilities) -> list[Section]:
    """The way of records to receivers over TCP."""
    logs = tuning.tenant_logs
    if logs is None or logs.protocol != TCP:
        return []
    collector = Section.named("log-forward", _COLLECT)
    collector.add("dgram-bind", _COLLECTOR)
    collector.add("log", f"ring@{_RING}", "len", LONGEST, "format", "rfc3164", f"local{logs.facility}")
    ring = Section.named("ring", _RING)
    ring.add("format", "rfc3164")
    ring.add("maxlen", LONGEST)
    ring.add("size", min(max(_LEAST_RING, logs.queue * _RECORD), _LARGEST_RING))
    ring.add("timeout", "connect", "5s")
    ring.add("timeout", "server", "10s")
    ring.add("server", "receivers", f"unix@{LOGS_SOCKET}")
    return [collector, ring, _receivers(logs, capabilities)]


def _receivers(logs: Syslog, capabilities: Capabilities) -> Section:
    section = Section.named("listen", _SEND)
    section.add("mode", "tcp")
    section.add("bind", f"unix@{LOGS_SOCKET}", "mode", 600)
    section.add("timeout", "client", "1h")
    section.add("timeout", "server", "1h")
    section.add("timeout", "connect", "2s")
    # A process that retires does not wait for receivers that never hang up.
    section.add("timeout", "client-fin", "1s")
    section.add("timeout", "server-fin", "1s")
    # Without a retry, the next connection of the ring finds the next receiver; what was under way is lost.
    section.add("retries", 0 if Capability.STUCK_RETRIES in capabilities else 3)
    checked = ("check", "inter", f"{logs.retry_interval}s", "fall", logs.retry_count, "rise", 1)
    # A refused connection is reason enough not to wait for the checks.
    noticed = (
        "observe",
        "layer4",
        "error-limit",
        1,
        "on-error",
        "mark-down",
        "on-marked-down",
        "shutdown-sessions",
    )
    for number, target in enumerate(logs.targets):
        role = ("backup",) if number else ("on-marked-up", "shutdown-backup-sessions")
        section.add("server", f"receiver-{number}", _address(target), *checked, *noticed, *role)
    return section


def _address(target: str) -> str:
    host, port = endpoint(target)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
