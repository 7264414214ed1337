"""A health monitor as HAProxy's checks: lines of the backend, and words of each of its servers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hydria.dataplane.haproxy.token import literal, plain
from hydria.dataplane.haproxy.writer import Section
from hydria.model.health_monitor import HealthMonitor
from hydria.model.statuses import ALPNProtocol, MonitorType
from hydria.wire.capabilities import Capabilities, Capability
from hydria.wire.proxies import PING_END, PING_SOCKET, PING_UP

_OVER_TLS = (MonitorType.HTTPS, MonitorType.TLS_HELLO)


def probe(section: Section, monitor: HealthMonitor, vip_address: str, *, encrypted: bool) -> None:
    """How members are asked and what is a good answer.

    Without a question, a TCP monitor only connects, and a TLS-HELLO monitor shakes hands. ``encrypted``: the
    pool speaks TLS with its members, so that one of them may choose HTTP/2.
    """
    section.add("timeout", "check", _seconds(monitor.timeout))
    if monitor.type is MonitorType.PING:
        _ping(section)
    if monitor.type not in (MonitorType.HTTP, MonitorType.HTTPS):
        return
    section.add("option", "httpchk")
    request: list[str] = ["meth", monitor.http_method or "GET", "uri", monitor.url_path or "/"]
    if monitor.http_version is not None:
        request += ["ver", f"HTTP/{monitor.http_version}"]
    if monitor.http_version == 1.1 or encrypted:
        # HTTP/1.1 and HTTP/2 without a host are malformed, and many servers answer them with 400.
        request += ["hdr", "Host", literal(monitor.domain_name or _host(vip_address))]
    section.add("http-check", "send", *request)
    section.add("http-check", "expect", "status", (monitor.expected_codes or "200").replace(" ", ""))


def server_words(
    monitor: HealthMonitor,
    *,
    encrypted: bool,
    protocols: Sequence[ALPNProtocol],
    introduced: bool,
    elsewhere: bool,
    capabilities: Capabilities,
) -> tuple[str, ...]:
    """What a checked server says about it.

    ``encrypted``: it speaks TLS with its members anyway. Otherwise, a check over TLS does not judge the
    member's certificate: it asks whether the member serves. ``protocols``: what the pool offers then; the
    check offers the same, and speaks what the member chooses. By default HAProxy would offer it and speak
    HTTP/1 whatever was agreed on. ``introduced``: the PROXY header goes first.
    ``elsewhere``: checks go to another address or port than the traffic; what serves there is nothing that we
    know of, so they do not speak as the traffic does. HAProxy would find that out by itself, but not for
    servers that are added while it runs.
    """
    words = [
        *("check", "inter", _seconds(monitor.delay)),
        *("fall", str(monitor.max_retries_down), "rise", str(monitor.max_retries)),
    ]
    if Capability.INITIAL_STATE in capabilities:
        # As before 3.1: the first answer decides alone. By default, a first success is but half believed now,
        # and one failure after it ends a member that should have been given several.
        words += ["init-state", "up"]
    as_traffic = not elsewhere and monitor.type is not MonitorType.PING
    if monitor.type in _OVER_TLS or (encrypted and as_traffic):
        words += ["check-ssl"]
        if encrypted and protocols:
            words += ["check-alpn", ",".join(dict.fromkeys(protocols))]
    if monitor.type in _OVER_TLS and not encrypted:
        words += ["verify", "none"]
    if introduced and as_traffic:
        words += ["check-send-proxy"]
    if (monitor.type in _OVER_TLS or encrypted) and monitor.domain_name:
        words += ["check-sni", plain(monitor.domain_name)]
    return tuple(words)


def _ping(section: Section) -> None:
    """HAProxy does not ping; the agent does, and is asked whether it was answered (amphora/pings.py)."""
    section.add("option", "tcp-check")
    section.add("tcp-check", "connect", "addr", f"unix@{PING_SOCKET}")
    section.add("tcp-check", "send-lf", f"%[srv_name]{PING_END}")
    section.add("tcp-check", "expect", "string", PING_UP)


def _seconds(number: int) -> str:
    # HAProxy refuses an interval of 0 and takes a timeout of 0 for none; the API's next larger value is 1 s.
    return f"{max(1, number)}s"


def _host(vip_address: str) -> str:
    return f"[{vip_address}]" if ipaddress.ip_address(vip_address).version == 6 else vip_address
