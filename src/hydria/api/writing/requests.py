"""What all writers ask of a request's body before it is parsed, and the errors they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hydria.api.call import Call
from hydria.model.errors import Invalid
from hydria.model.resource import Declared, bad_value, parse_create, unknown_attributes


def record(resource: type[Declared], body: object) -> Mapping[str, object]:
    """The body as an object; Invalid when it is something else."""
    if not isinstance(body, Mapping):
        raise bad_value(resource.root, body, "Expected an object.")
    return body


def records(name: str, value: object) -> list[Mapping[str, object]]:
    """A list of objects; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise bad_value(name, value, "Expected a list of objects.")
    return value


def foreign(label: str, identifier: str) -> Invalid:
    """The error for something of another service that a request names and nobody knows."""
    return Invalid(f"{label} {identifier} not found.")


def not_here(resource: type[Declared], body: Mapping[str, object]) -> None:
    """Refuse nested objects, which only a fully populated create has (contract 1.10)."""
    for name in resource.children:
        if body.get(name):
            raise bad_value(
                name,
                body[name],
                "Nested objects are only for the creation of a fully populated load balancer.",
            )


def nested(
    call: Call,
    resource: type[Declared],
    body: Mapping[str, object],
    *,
    unknown: Collection[str],
    **given: Any,
) -> dict[str, object]:
    """Parse a nested object: without the keys ``unknown``, which a single create has, and with ``given``."""
    refused = [name for name in unknown if name in body]
    if refused:
        raise unknown_attributes(f"{resource.argument}.{resource.root}", refused)
    return parse_create(resource, {**body, **given}, call.services.defaults, ignored=resource.children)
