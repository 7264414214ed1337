"""JSON schemas of bodies, derived from the declarations (contract 1.4, 1.10, appendix C).

Requests are described in their canonical form. What contract 1.4 accepts beyond it (digits for integers,
``yes`` for true, UUIDs without dashes) is not repeated at each attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import NoneType
from typing import get_args, get_type_hints

import msgspec

from hydria.api.views import view
from hydria.model import kinds
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import (
    Attribute,
    Configured,
    Declared,
    Null,
    Use,
    attributes,
    by_wire_name,
    default_of,
)

Schema = dict[str, object]

# Keys of nested objects: what they are, and whether there are several.
NESTED: Mapping[str, tuple[type[Declared], bool]] = {
    "listeners": (Listener, True),
    "pools": (Pool, True),
    "default_pool": (Pool, False),
    "members": (Member, True),
    "healthmonitor": (HealthMonitor, False),
    "l7policies": (L7Policy, True),
    "rules": (L7Rule, True),
    "redirect_pool": (Pool, False),
    "rate_limit_policies": (RateLimitPolicy, True),
}
# The same where a key has another meaning elsewhere.
_NESTED_IN: Mapping[tuple[type[Declared], str], tuple[type[Declared], bool]] = {
    (RateLimitPolicy, "rules"): (RateLimitRule, True),
}
# What a nested object does not take, because its place says it already (contract 1.10).
_PLACED = frozenset({"project_id", "tenant_id", "loadbalancer_id", "listener_id", "pool_id"})
# What a nested object is not shown with.
_NOT_SHOWN_NESTED = frozenset({"loadbalancers", "healthmonitor_id"})
# Without these a nested pool is the name of one that is defined elsewhere in the request.
_OF_DEFINITIONS = frozenset({"protocol", "lb_algorithm"})


class Components:
    """The schemas that the document names, each made when something first refers to it."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def ref(self, name: str, make: Callable[[], Schema]) -> Schema:
        """A reference to the schema of this name."""
        if name not in self.schemas:
            self.schemas[name] = {}  # in its place before it is made: schemas may refer to each other
            self.schemas[name] = make()
        return {"$ref": f"#/components/schemas/{name}"}

    # --- requests

    def create(self, resource: type[Declared]) -> Schema:
        """What stands below the root key of a POST."""
        return self.ref(f"{resource.__name__}Create", lambda: self._create(resource, frozenset()))

    def nested(self, resource: type[Declared]) -> Schema:
        """The same inside the body of another object."""
        return self.ref(f"{resource.__name__}Nested", lambda: self._create(resource, _PLACED))

    def update(self, resource: type[Declared]) -> Schema:
        """What stands below the root key of a PUT."""

        def make() -> Schema:
            known = by_wire_name(resource).items()
            properties = {name: _taken(it, creating=False) for name, (_, it) in known if it.update}
            return closed(properties)

        return self.ref(f"{resource.__name__}Update", make)

    def _create(self, resource: type[Declared], placed: Collection[str]) -> Schema:
        properties, required = {}, []
        for name, (_, attribute) in by_wire_name(resource).items():
            if attribute.create is Use.NEVER or name in placed:
                continue
            properties[name] = _taken(attribute, creating=True)
            if attribute.create is Use.REQUIRED and not (placed and name in _OF_DEFINITIONS):
                required.append(name)
        # Alone, an object takes the keys of nested ones only empty; a load balancer takes them all.
        deep = placed or resource.root == "loadbalancer"
        for key in resource.children if deep else ():
            if key in NESTED:
                properties[key] = self._child(resource, key, self.nested)
        return closed(properties, required)

    # --- responses

    def shown(self, resource: type[Declared]) -> Schema:
        """An object in a response, with exactly the keys of contract appendix C."""

        def make() -> Schema:
            properties, optional = _shown(resource)
            return closed(properties, [name for name in properties if name not in optional])

        return self.ref(resource.__name__, make)

    def reduced(self, resource: type[Declared]) -> Schema:
        """The same with any of its keys, which is what ``fields`` leaves of it."""
        return self.ref(f"{resource.__name__}Fields", lambda: closed(_shown(resource)[0]))

    def graph(self, resource: type[Declared]) -> Schema:
        """An object in the response to the creation of a load balancer, with all that is below it."""

        def make() -> Schema:
            properties, optional = _shown(resource)
            properties = {key: it for key, it in properties.items() if key not in _NOT_SHOWN_NESTED}
            for key in resource.children:
                # A listener is shown with the id of its pool; the pool itself is among the load balancer's.
                if key in NESTED and (key in properties or key == "healthmonitor"):
                    properties[key] = self._child(resource, key, self.graph)
                    optional |= {key} & {"healthmonitor"}
            return closed(properties, [name for name in properties if name not in optional])

        return self.ref(f"{resource.__name__}Graph", make)

    @staticmethod
    def keys(resource: type[Declared]) -> list[str]:
        """The keys that an object can be shown with."""
        return list(_shown(resource)[0])

    @staticmethod
    def _child(within: type[Declared], key: str, make: Callable[[type[Declared]], Schema]) -> Schema:
        resource, many = _NESTED_IN.get((within, key), NESTED[key])
        return {"type": "array", "items": make(resource)} if many else make(resource)


def enveloped(key: str, schema: Schema, **more: Schema) -> Schema:
    """A body with one root key, and in lists one more for links."""
    return closed({key: schema, **more}, [key, *more])


def closed(properties: Mapping[str, Schema], required: Collection[str] = ()) -> Schema:
    """An object with these keys and no others."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def nullable(schema: Schema) -> Schema:
    """The same schema, or null."""
    if set(schema) & {"$ref", "anyOf", "enum"} or not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


# Beyond Octavia's keys, while an object is in ERROR.
FAULT = closed(
    {"message": {"type": "string"}, "since": dict(kinds.Time().schema())}, ["message", "since"]
) | {"description": "Why the object is in ERROR, and since when it has failed; absent while it is not."}


def _shown(resource: type[Declared]) -> tuple[dict[str, Schema], frozenset[str]]:
    """Key -> schema of everything that a response can show, and the keys that may be absent."""
    declared, shape = attributes(resource), view(resource)
    hints = get_type_hints(resource)
    ids: Schema = {"type": "array", "items": closed({"id": {"type": "string", "format": "uuid"}}, ["id"])}
    properties: dict[str, Schema] = {}
    for name, key in zip(shape.fields, shape.keys, strict=True):
        if name in ("fault", "fault_since"):
            continue  # which are shown together
        schema = dict(declared[name].kind.schema())
        optional_value = NoneType in get_args(hints[name]) and key not in shape.extended
        properties[key] = nullable(schema) if optional_value else schema
    properties |= dict.fromkeys((*shape.parents, *shape.children), ids)
    for name in ("tags", "project_id"):
        if name in declared:
            key = "tenant_id" if name == "project_id" else name
            properties[key] = dict(declared[name].kind.schema())
    properties |= {alias: properties[key] for alias, key in shape.aliases}
    optional = frozenset((*shape.extended, *shape.sparse))
    if shape.has_monitor:
        properties["healthmonitor_id"] = {"type": "string", "format": "uuid"}
        optional |= {"healthmonitor_id"}
    if shape.faulty:
        properties["fault"] = FAULT
        optional |= {"fault"}
    return properties, optional


def _taken(attribute: Attribute, *, creating: bool) -> Schema:
    """The schema of an attribute in a request, with what null and its absence mean."""
    schema = dict(attribute.kind.schema())
    mandatory = creating and attribute.create is Use.REQUIRED
    if attribute.null is not Null.REFUSE and not mandatory:
        schema = nullable(schema)
    notes = " ".join(_notes(attribute, creating=creating, mandatory=mandatory))
    if creating and not mandatory and not isinstance(attribute.default, Configured):
        schema["default"] = msgspec.to_builtins(default_of(attribute, {}))
    return schema | ({"description": notes} if notes else {})


def _notes(attribute: Attribute, *, creating: bool, mandatory: bool) -> Iterator[str]:
    if attribute.extension is not None:
        yield f"Extension {attribute.extension.alias}."
    if attribute.since != "v2.0":
        yield f"Since {attribute.since}."
    if creating and isinstance(attribute.default, Configured):
        yield f"Default: the operator's option {attribute.default.name}."
    if attribute.null is Null.REFUSE or mandatory:
        yield "Null is refused."
    elif attribute.null is Null.DEFAULT and attribute.default is not None:
        yield "Null means the default."
    elif attribute.null is not Null.DEFAULT and attribute.null is not None:
        yield f"Null means {msgspec.json.encode(attribute.null).decode()}."
