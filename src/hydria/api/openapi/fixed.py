"""Schemas of answers that no resource declares: statistics, the status tree, versions, health."""

from __future__ import annotations

from hydria.api.openapi.schemas import FAULT, Schema, closed
from hydria.model.health_monitor import HealthMonitor
from hydria.model.member import Member
from hydria.model.resource import Declared, attributes
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.store.tables import COUNTERS

_TEXT: Schema = {"type": "string"}
_ID: Schema = {"type": "string", "format": "uuid"}
_COUNTER: Schema = {"type": "integer", "minimum": 0}

COUNTED = dict.fromkeys(("active_connections", *COUNTERS), _COUNTER)
STATISTICS = closed(COUNTED, list(COUNTED))
LINKS: Schema = {
    "type": "array",
    "items": closed({"rel": {"enum": ["next", "previous"]}, "href": _TEXT}, ["rel", "href"]),
}


def status_tree() -> Schema:
    """The body of ``/loadbalancers/{identifier}/status`` (contract 1.9)."""
    monitor = _branch(type=_of(HealthMonitor, "type"))
    members = _several(_branch(address=_of(Member, "address"), protocol_port=_of(Member, "protocol_port")))
    pool = _branch(members=members)
    pool["properties"]["health_monitor"] = monitor  # type: ignore[index]  # it is an object's schema
    listener = _branch(pools=_several(pool))
    balancer = _branch(listeners=_several(listener))
    return _whole({"statuses": _whole({"loadbalancer": balancer})})


def versions() -> Schema:
    """The body of version discovery."""
    link = _whole({"href": _TEXT, "rel": {"const": "self"}})
    version = _whole(
        {
            "id": {"type": "string", "pattern": r"^v2\.[0-9]+$"},
            "status": {"enum": ["SUPPORTED", "CURRENT"]},
            "updated": {"type": "string", "format": "date-time"},
            "links": _several(link),
        }
    )
    return _whole({"versions": _several(version)})


def healthcheck_body(description: str) -> Schema:
    """An answer of the health check, in the three forms that it has."""
    report = _whole({"detailed": {"type": "boolean"}, "reasons": _several(_TEXT)})
    content = {
        "text/plain": {"schema": _TEXT},
        "text/html": {"schema": _TEXT},
        "application/json": {"schema": report},
    }
    return {"description": description, "content": content}


def _branch(**more: Schema) -> Schema:
    statuses: Schema = {
        "operating_status": {"enum": [str(word) for word in OperatingStatus]},
        "provisioning_status": {"enum": [str(word) for word in ProvisioningStatus]},
    }
    properties = {"id": _ID, "name": _TEXT, **statuses, **more}
    return closed(properties | {"fault": FAULT}, list(properties))


def _of(resource: type[Declared], field: str) -> Schema:
    return dict(attributes(resource)[field].kind.schema())


def _several(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _whole(properties: dict[str, Schema]) -> Schema:
    return closed(properties, list(properties))
