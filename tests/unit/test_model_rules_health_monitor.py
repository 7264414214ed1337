"""Rules of health monitors (contract 1.14)."""

from dataclasses import replace

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.health_monitor import HealthMonitor
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import (
    MonitorType,
    PoolProtocol,
)
from hydria.testing import trees
from tests.unit.test_model_resource import MINIMAL

SITE = rules.Deployment()
ALPN = ["h2", "http/1.1", "http/1.0"]
TLS_DEFAULTS = {
    "tls_ciphers": rules.OWASP_B,
    "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "alpn_protocols": ALPN,
}


def create_monitor(body, pool=PoolProtocol.HTTP, *, site=SITE):
    values = parse_create(HealthMonitor, {**MINIMAL[HealthMonitor], **body}, {})
    return rules.monitor_created(values, pool, site)


def update_monitor(stored, body, pool=PoolProtocol.HTTP, *, site=SITE):
    return rules.monitor_updated(trees.monitor(**stored), parse_update(HealthMonitor, body, {}), pool, site)


def refusal(call, *args, **more):
    with pytest.raises(Invalid) as raised:
        call(*args, **more)
    return str(raised.value)


ON_STREAM_POOLS = {"HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO"}
ON_DATAGRAM_POOLS = {"HTTP", "TCP", "UDP-CONNECT", "SCTP"}


@pytest.mark.parametrize("pool", PoolProtocol)
@pytest.mark.parametrize("kind", MonitorType)
def test_which_monitor_fits_which_pool(kind, pool):
    datagram = pool in ("UDP", "SCTP")
    if kind in (ON_DATAGRAM_POOLS if datagram else ON_STREAM_POOLS):
        assert create_monitor({"type": kind}, pool)["type"] is kind
    elif datagram:
        assert refusal(create_monitor, {"type": kind}, pool) == (
            f"Validation failure: The associated pool protocol is {pool}, "
            "so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported."
        )
    else:
        assert refusal(create_monitor, {"type": kind}, pool) == (
            f"Validation failure: The {kind} type is only supported for pools of type UDP/SCTP."
        )


HTTP_FIELDS = {
    "http_method": "HEAD",
    "url_path": "/x",
    "expected_codes": "204",
    "http_version": 1.1,
    "domain_name": "a.example",
}


@pytest.mark.parametrize("kind", [kind for kind in MonitorType if kind not in ("HTTP", "HTTPS")])
def test_only_http_monitors_have_http_attributes(kind):
    pool = PoolProtocol.UDP if kind in ("UDP-CONNECT", "SCTP") else PoolProtocol.HTTP
    for field, value in HTTP_FIELDS.items():
        message = f"{field} is not a valid option for health monitors of type {kind}"
        assert refusal(create_monitor, {"type": kind, field: value}, pool) == message
        assert refusal(update_monitor, {"type": kind}, {field: value}, pool) == message
        assert update_monitor({"type": kind}, {field: None}, pool) == {field: None}
    nulls = dict.fromkeys(HTTP_FIELDS)
    assert create_monitor({"type": kind, **nulls}, pool).items() >= nulls.items()


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS"])
def test_defaults_of_http_monitors(kind):
    filled = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
    unset = {"http_version": None, "domain_name": None}
    for body in ({}, dict.fromkeys(HTTP_FIELDS)):
        assert create_monitor({"type": kind, **body}).items() >= {**filled, **unset}.items()
    assert create_monitor({"type": kind, **HTTP_FIELDS}).items() >= HTTP_FIELDS.items()
    stored = {"type": MonitorType(kind), **HTTP_FIELDS}
    assert update_monitor(stored, dict.fromkeys(HTTP_FIELDS)) == {**filled, **unset}
    assert update_monitor(stored, {"name": "new"}) == {"name": "new"}


@pytest.mark.parametrize(
    ("stored", "body", "message"),
    [
        (
            {},
            {"domain_name": "a.example"},
            "Validation failure: 'http_version' must be specified when 'domain_name' is provided.",
        ),
        (
            {"http_version": 1.1, "domain_name": "a.example"},
            {"http_version": None},
            "Validation failure: 'http_version' must be specified when 'domain_name' is provided.",
        ),
        (
            {},
            {"http_version": 1.0, "domain_name": "a.example"},
            "http_version 1.0 is not a valid option for health monitors HTTP 1.1 domain name health check",
        ),
        (
            {"http_version": 1.1, "domain_name": "a.example"},
            {"http_version": 1.0},
            "http_version 1.0 is not a valid option for health monitors HTTP 1.1 domain name health check",
        ),
    ],
)
def test_domain_names_need_http_1_1(stored, body, message):
    assert refusal(update_monitor, stored, body) == message
    if not stored:
        assert refusal(create_monitor, {"type": "HTTP", **body}) == message
    assert update_monitor({"http_version": 1.1}, {"domain_name": "a.example"}) == {"domain_name": "a.example"}


def test_least_delay_of_udp_connect():
    message = (
        "Validation failure: The request delay value 2 should be larger than 3 "
        "for UDP-CONNECT health monitor type."
    )
    assert refusal(create_monitor, {"type": "UDP-CONNECT", "delay": 2}, PoolProtocol.UDP) == message
    stored = {"type": MonitorType.UDP_CONNECT, "delay": 5}
    assert refusal(update_monitor, stored, {"delay": 2}, PoolProtocol.UDP) == message
    assert create_monitor({"type": "UDP-CONNECT", "delay": 3}, PoolProtocol.UDP)["delay"] == 3
    stricter = replace(SITE, udp_connect_min_interval_health_monitor=9)
    assert update_monitor(stored, {"name": "new"}, PoolProtocol.UDP, site=stricter) == {"name": "new"}
    assert create_monitor({"type": "TCP", "delay": 0})["delay"] == 0


def test_ping_can_be_switched_off():
    site = replace(SITE, allow_ping_health_monitors=False)
    message = "The selected type is not allowed in this deployment: PING"
    assert refusal(create_monitor, {"type": "PING"}, site=site) == message
    assert update_monitor({"type": MonitorType.PING}, {"delay": 9}, site=site) == {"delay": 9}
