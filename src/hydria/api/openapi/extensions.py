"""The operations that tell what this API has beyond Octavia's."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from hydria.api.extensions import ROOT
from hydria.api.openapi.answers import answer
from hydria.api.openapi.schemas import Schema, closed, enveloped
from hydria.model import extensions

if TYPE_CHECKING:
    from hydria.api.openapi.operations import Route

_TEXT: Schema = {"type": "string"}


def alias() -> Schema:
    """What names an extension in a path."""
    return {"enum": [each.alias for each in extensions.ALL]}


def describe(route: Route) -> Schema:
    """List them, or show one."""
    if route.path.endswith("}"):
        found = {HTTPStatus.OK: answer("It.", enveloped("extension", _extension()))}
        return route.operation("Show what an extension adds to Octavia's API", "show_extension", found)
    items: Schema = {"type": "array", "items": _extension()}
    found = {HTTPStatus.OK: answer("All of them.", enveloped(ROOT, items))}
    return route.operation("List what this API has beyond Octavia's", "list_extensions", found)


def _extension() -> Schema:
    values: Schema = {"type": "array", "items": _TEXT, "description": "Those it adds; all, when empty."}
    part = {"resource": _TEXT, "name": _TEXT, "values": values}
    properties: dict[str, Schema] = {
        "alias": _TEXT,
        "name": _TEXT,
        "description": _TEXT,
        "updated": {"type": "string", "format": "date-time"},
        "attributes": {"type": "array", "items": closed(part, list(part))},
    }
    return closed(properties, list(properties))
