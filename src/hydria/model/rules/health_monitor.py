"""Rules of health monitors (contract 1.14)."""

from __future__ import annotations

from collections.abc import Mapping

from hydria.model.errors import Invalid, validation
from hydria.model.health_monitor import HealthMonitor
from hydria.model.rules import draft
from hydria.model.rules.deployment import Deployment
from hydria.model.statuses import HTTPMethod, MonitorType, PoolProtocol

_SPEAKS_HTTP = (MonitorType.HTTP, MonitorType.HTTPS)
_DEFAULTS: Mapping[str, object] = {"http_method": HTTPMethod.GET, "url_path": "/", "expected_codes": "200"}
_OF_HTTP = (*_DEFAULTS, "http_version", "domain_name")

_DATAGRAM_POOLS = (PoolProtocol.UDP, PoolProtocol.SCTP)
_ON_DATAGRAM_POOLS = (MonitorType.UDP_CONNECT, MonitorType.SCTP, MonitorType.TCP, MonitorType.HTTP)
_ONLY_ON_DATAGRAM_POOLS = (MonitorType.UDP_CONNECT, MonitorType.SCTP)


def monitor_created(
    values: Mapping[str, object], pool_protocol: PoolProtocol, deployment: Deployment
) -> dict[str, object]:
    """A new monitor's values, the defaults of HTTP filled in where it speaks HTTP."""
    monitor = draft.created(HealthMonitor, values)
    if monitor.type is MonitorType.PING and not deployment.allow_ping_health_monitors:
        raise Invalid(f"The selected type is not allowed in this deployment: {monitor.type}")
    _fits_pool(monitor.type, pool_protocol)
    return _judged(monitor, dict(values), deployment)


def monitor_updated(
    monitor: HealthMonitor,
    changes: Mapping[str, object],
    pool_protocol: PoolProtocol,  # noqa: ARG001  (neither it nor the type can change, so they still fit)
    deployment: Deployment,
) -> dict[str, object]:
    """A monitor's changes; null sets an attribute of HTTP back to its default."""
    return _judged(draft.updated(monitor, changes), dict(changes), deployment)


def _judged(
    monitor: HealthMonitor, completed: dict[str, object], deployment: Deployment
) -> dict[str, object]:
    """Judge what ``completed`` has of the monitor it leads to, and fill in defaults."""
    if monitor.type in _SPEAKS_HTTP:
        for field, default in _DEFAULTS.items():
            if field in completed and completed[field] is None:
                completed[field] = default
        if "domain_name" in completed or "http_version" in completed:
            _host_header(monitor)
    else:
        for field in _OF_HTTP:
            if completed.get(field) is not None:
                raise Invalid(f"{field} is not a valid option for health monitors of type {monitor.type}")
    if "delay" in completed and monitor.type is MonitorType.UDP_CONNECT:
        least = deployment.udp_connect_min_interval_health_monitor
        if monitor.delay < least:
            raise validation(
                f"The request delay value {monitor.delay} should be larger than {least} "
                f"for {monitor.type} health monitor type."
            )
    return completed


def _host_header(monitor: HealthMonitor) -> None:
    if monitor.domain_name is None:
        return
    if monitor.http_version is None:
        raise validation("'http_version' must be specified when 'domain_name' is provided.")
    if monitor.http_version < 1.1:
        raise Invalid(
            f"http_version {monitor.http_version} is not a valid option "
            "for health monitors HTTP 1.1 domain name health check"
        )


def _fits_pool(kind: MonitorType, pool_protocol: PoolProtocol) -> None:
    if pool_protocol in _DATAGRAM_POOLS:
        if kind not in _ON_DATAGRAM_POOLS:
            raise validation(
                f"The associated pool protocol is {pool_protocol}, so only a "
                f"{'/'.join(_ON_DATAGRAM_POOLS)} health monitor is supported."
            )
    elif kind in _ONLY_ON_DATAGRAM_POOLS:
        raise validation(f"The {kind} type is only supported for pools of type {'/'.join(_DATAGRAM_POOLS)}.")
