"""The health monitor: how a pool's members are probed (contract 1.14)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import alphabets, kinds
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Recalled, Use, internal
from hydria.model.statuses import HTTPMethod, MonitorType

_SECONDS = kinds.Integer(0, 24 * 24 * 3600)


class HealthMonitor(Recalled, frozen=True, kw_only=True):
    """Probes of every member of one pool.

    ``delay`` and ``timeout`` are seconds; ``max_retries`` successes bring a member up, ``max_retries_down``
    failures take it down.
    """

    root: ClassVar[str] = "healthmonitor"
    plural: ClassVar[str] = "healthmonitors"
    label: ClassVar[str] = "Health Monitor"
    argument: ClassVar[str] = "health_monitor_"
    table: ClassVar[str] = "health_monitors"

    pool_id: Annotated[str, Attribute(kind=IDENTIFIER, create=Use.REQUIRED, update=False, shown=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    name: Annotated[str, TEXT] = ""
    type: Annotated[MonitorType, Attribute(kind=kinds.Choice(MonitorType), create=Use.REQUIRED, update=False)]
    delay: Annotated[int, Attribute(kind=_SECONDS, create=Use.REQUIRED, null=Null.REFUSE)]
    timeout: Annotated[int, Attribute(kind=_SECONDS, create=Use.REQUIRED, null=Null.REFUSE)]
    max_retries: Annotated[int, Attribute(kind=kinds.Integer(1, 10), create=Use.REQUIRED, null=Null.REFUSE)]
    max_retries_down: Annotated[int, Attribute(kind=kinds.Integer(1, 10), default=3)] = 3
    # The HTTP attributes are null on monitors that do not speak HTTP; rules.py fills in their defaults.
    http_method: Annotated[HTTPMethod | None, Attribute(kind=kinds.Choice(HTTPMethod), null=None)] = None
    url_path: Annotated[str | None, Attribute(kind=alphabets.URL_PATH, null=None)] = None
    expected_codes: Annotated[str | None, Attribute(kind=alphabets.EXPECTED_CODES, null=None)] = None
    http_version: Annotated[
        float | None, Attribute(kind=kinds.NumberChoice((1.0, 1.1)), null=None, since="v2.10")
    ] = None
    domain_name: Annotated[str | None, Attribute(kind=alphabets.HOST_NAME, null=None, since="v2.10")] = None
