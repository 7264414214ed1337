"""From events to notifications: types, priorities and payloads; pure.

Three types are Octavia's own, with its payload: the load balancer as provider drivers get it. The others are
made in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hydria.model.amphora import Amphora
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Declared, Resource, attributes, name_of, wire_name
from hydria.providers import objects
from hydria.store.events import Event, What

Payload = dict[str, object]

SERVICE = "octavia"
UPSTREAM = (What.CREATE_END, What.UPDATE_END, What.DELETE_END)  # of load balancers
ERRORS = (What.CREATE_ERROR, What.UPDATE_ERROR)
_BUILT = (
    What.CREATE_START, What.CREATE_END, What.CREATE_ERROR, What.UPDATE_START, What.UPDATE_END,
    What.UPDATE_ERROR, What.DELETE_START, What.DELETE_END, What.STATUS,
)  # fmt: skip
_MACHINE = (What.CREATE_START, What.CREATE_END, What.DELETE_START, What.DELETE_END, What.STATUS)
_FAILOVER = (What.FAILOVER_START, What.FAILOVER_END)
_OF_AMPHORAE = ("id", "status", "role")
# octavia-lib's objects may carry certificates and private keys in attributes of such names.
_SECRET = "_data"  # noqa: S105  (the end of a name)


@dataclass(frozen=True, slots=True)
class Notification:
    """What is sent. priority: the notifier's, which is part of the topic (``notifications.info``)."""

    event_type: str
    payload: Payload
    priority: str
    project_id: str | None
    request_id: str


def notification(event: Event) -> Notification:
    """The notification of an event."""
    event_type = f"{SERVICE}.{name(event.resource)}.{event.what}"
    priority = "error" if event.what in ERRORS else "info"
    return Notification(event_type, _payload(event), priority, event.project_id, event.request_id)


def name(resource: Any) -> str:
    """What event types call a resource: as octavia-lib does (``l7rule``), or else as the API does."""
    if resource is Amphora:
        return "amphora"
    key = objects.key_of(resource)
    return name_of(resource) if key is None else key.removesuffix("_id")


def whats(resource: Any) -> tuple[What, ...]:
    """Everything that can happen to such objects."""
    if resource is Amphora:
        return _MACHINE
    if resource is LoadBalancer:
        return _BUILT + _FAILOVER
    return _BUILT if issubclass(resource, Resource) else UPSTREAM


def keys(resource: Any) -> tuple[str, ...]:
    """The keys of a payload that describes such an object."""
    if resource is Amphora:
        return (*_OF_AMPHORAE, "loadbalancer_id", "project_id")
    key = objects.key_of(resource)
    if key is None:
        placed = ("loadbalancer_id", "project_id") if issubclass(resource, Resource) else ()
        return tuple(dict.fromkeys((*(wire for _, wire in _shown_fields(resource)), *placed)))
    own = {key: None} | dict.fromkeys(objects.names_of(resource).values())
    return tuple(own | dict.fromkeys(("loadbalancer_id", "project_id")))


def _payload(event: Event) -> Payload:
    if event.resource is LoadBalancer and event.what in UPSTREAM:
        return provider_dict(event.item, nested=False)
    known = event.what is not What.STATUS and event.item is not None
    payload: Payload = _described(event.item) if known else {"id": event.identifier}
    if event.resource is not LoadBalancer or not known:
        payload["loadbalancer_id"] = event.load_balancer_id
    payload["project_id"] = event.project_id
    return payload | dict(event.facts)


def _described(item: Any) -> Payload:
    if isinstance(item, Amphora):
        return {key: str(getattr(item, key)) for key in _OF_AMPHORAE}
    if isinstance(item, Declared) and objects.key_of(type(item)) is None:
        return _shown(item)
    return provider_dict(item, nested=True)


def provider_dict(item: Any, *, nested: bool) -> Payload:
    """The object as provider drivers get it; ``nested``: with attributes that are lists, which Octavia's
    notifications of load balancers are without.
    """
    values: Mapping[str, object] = objects.of(item).to_dict(recurse=nested)
    return {key: value for key, value in values.items() if not key.endswith(_SECRET)}


def _shown(item: Declared) -> Payload:
    """What no provider driver ever sees, as the API shows it."""
    return {wire: _plain(getattr(item, field)) for field, wire in _shown_fields(type(item))}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else msgspec.to_builtins(value)


def _shown_fields(resource: type[Declared]) -> list[tuple[str, str]]:
    return [
        (field, wire_name(field, it))
        for field, it in attributes(resource).items()
        if it.shown or field == resource.within
    ]
