"""One declaration per attribute, and what is derived from it.

A resource is a frozen :class:`msgspec.Struct` whose fields carry an :class:`Attribute`::

    class Member(Resource):
        weight: Annotated[int, Attribute(Integer(0, 256), default=1)]

From that the API derives what it accepts and shows, the store its columns, filters and sort keys, the
provider boundary its dictionaries, the documentation its tables. A derived view that does not fit is
overridden by plain code in the room that needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, cast, get_type_hints

import msgspec

from hydria.model import alphabets, extensions, kinds
from hydria.model.errors import Invalid
from hydria.model.extensions import Extension
from hydria.model.statuses import OperatingStatus, ProvisioningStatus


class Use(Enum):
    """Whether a request may carry an attribute."""

    NEVER = "never"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Null(Enum):
    """What an explicit null means, besides a value to store in its place."""

    DEFAULT = "back to the default"
    REFUSE = "refused"


class Unset(Enum):
    """The absence of a value, which is not null."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Configured:
    """A default that the operator sets: ``name`` is the option, as the API's settings know it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What is to be known about one attribute of a resource.

    kind: the values it takes.
    create, update: whether POST and PUT take it.
    null: what null means: back to the default, refused, or the value that is stored instead.
    default: value when POST leaves it out.
    shown: part of responses. stored: a column of the resource's table.
    listed: usable as a filter and sort key.
    wire: its name in the API, where that differs from the field's.
    provider: its name in octavia-lib's data models; None where they do not have it.
    since: the API version that announced it.
    extension: what it belongs to when Octavia does not have it (:func:`extended`).
    """

    kind: kinds.Kind
    create: Use = Use.OPTIONAL
    update: bool = True
    null: object = Null.DEFAULT
    default: object = None
    shown: bool = True
    stored: bool = True
    listed: bool = True
    wire: str = ""
    provider: str | None = ""
    since: str = "v2.0"
    extension: Extension | None = None


def internal(kind: kinds.Kind, *, shown: bool = True, default: object = None, **more: Any) -> Attribute:
    """An attribute that only Hydria sets."""
    return Attribute(
        kind=kind, create=Use.NEVER, update=False, shown=shown, default=default, provider=None, **more
    )


def extended(extension: Extension, kind: kinds.Kind, **more: Any) -> Attribute:
    """An attribute that Octavia does not have. Null, which it is by default, means that nobody uses it.

    Responses show it only when it is something else.
    """
    return Attribute(kind=kind, null=None, provider=None, extension=extension, **more)


TEXT = Attribute(kind=kinds.Text(), default="")
IDENTIFIER = kinds.Identifier()
FAULT_LENGTH = 2048  # characters


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What the API shows, whatever it is. Class variables name it in the API's several spellings.

    Below it come the resources of projects (:class:`Resource`), and what the operator keeps for all of them.
    """

    root: ClassVar[str]  # root key of a request or response body
    plural: ClassVar[str]  # root key of a list
    label: ClassVar[str]  # in messages: "Load Balancer"
    argument: ClassVar[str]  # in messages about unknown attributes (contract 1.4)
    table: ClassVar[str]  # in the store
    children: ClassVar[tuple[str, ...]] = ()  # keys of nested objects in a fully populated create
    key: ClassVar[str] = "id"  # the field that names an object in URLs, and as a marker of lists
    path: ClassVar[str] = ""  # last part of its URL, where that is not the plural
    within: ClassVar[str] = ""  # the field with the id of the object in the middle of its URL
    argument_on_update: ClassVar[str] = ""  # of a PUT, where that is not the argument
    links: ClassVar[str] = ""  # key of a list's links, where that is not <plural>_links (contract 1.6)
    called: ClassVar[str] = ""  # in names of operations and rules, where others have the same root
    extension: ClassVar[Extension | None] = None  # what it belongs to when Octavia has no such objects


class Resource(Declared, frozen=True, kw_only=True):
    """What is part of a load balancer, and so of a project: it has statuses and is built by a provider."""

    id: Annotated[str, internal(IDENTIFIER)]
    project_id: Annotated[str, Attribute(kind=alphabets.PROJECT, update=False, default="")]
    admin_state_up: Annotated[bool, Attribute(kind=kinds.Boolean(), default=True, null=False)]
    provisioning_status: Annotated[ProvisioningStatus, internal(kinds.Choice(ProvisioningStatus))]
    operating_status: Annotated[OperatingStatus, internal(kinds.Choice(OperatingStatus))]
    created_at: Annotated[datetime, internal(kinds.Time())]
    updated_at: Annotated[datetime | None, internal(kinds.Time())] = None
    # The load balancer's generation that this object last changed in: it is applied once the load
    # balancer's applied generation has reached it.
    generation: Annotated[int, internal(kinds.Integer(0, 2**62), shown=False, listed=False)] = 0
    # Whether it has been ACTIVE. Until then it is still being made, also while it is in ERROR.
    been_active: Annotated[bool, internal(kinds.Boolean(), shown=False, listed=False)] = False
    # What its owner is told: why it is in ERROR, and since when it has failed. Responses show both as one.
    fault: Annotated[str | None, internal(kinds.Text(FAULT_LENGTH), shown=False, listed=False)] = None
    fault_since: Annotated[datetime | None, internal(kinds.Time(), shown=False, listed=False)] = None
    tags: Annotated[
        tuple[str, ...],
        Attribute(
            kind=kinds.ListOf(kinds.Text()),
            default=[],
            stored=False,  # in a table of their own, to be searched
            listed=False,
            provider=None,
            since="v2.5",
        ),
    ] = ()

    @property
    def desired(self) -> bool:
        """Whether the object is part of the desired state, rather than on its way out."""
        return not self.provisioning_status.going


class Recalled(Resource, frozen=True, kw_only=True):
    """One whose values a daemon may refuse. previous: what to go back to then (model/recall.py)."""

    previous: Annotated[dict[str, Any] | None, internal(kinds.TextMap(), shown=False, listed=False)] = None


R = TypeVar("R", bound=Declared)


@cache
def attributes(resource: type[Declared]) -> Mapping[str, Attribute]:
    """Field name -> declaration, in the order of the fields."""
    hints = get_type_hints(resource, include_extras=True)
    declared: dict[str, Attribute] = {}
    for name in resource.__struct_fields__:
        for extra in getattr(hints[name], "__metadata__", ()):
            if isinstance(extra, Attribute):
                declared[name] = extra
    return declared


def url_path(resource: type[Declared]) -> str:
    """The last part of the URL of a list of these."""
    return resource.path or resource.plural


def name_of(resource: type[Declared]) -> str:
    """A name that no other resource has: ``l7rule``."""
    return resource.called or resource.root


def links_key(resource: type[Declared]) -> str:
    """The key of a list's links."""
    return resource.links or f"{resource.plural}_links"


def parse_key(resource: type[Declared], text: str) -> str:
    """What a URL or a marker calls an object, as the store keeps it; BadValue when it cannot be one."""
    return str(attributes(resource)[resource.key].kind.parse(text))


def argument_of(resource: type[Declared], *, creating: bool) -> str:
    """What messages call the body of a request (contract 1.4)."""
    return resource.argument if creating else resource.argument_on_update or resource.argument


def wire_name(field: str, attribute: Attribute) -> str:
    """The attribute's key in the API."""
    return attribute.wire or field


@cache
def by_wire_name(resource: type[Declared]) -> Mapping[str, tuple[str, Attribute]]:
    """API key -> (field, declaration); ``tenant_id`` is the old name of ``project_id``."""
    known = {
        wire_name(field, attribute): (field, attribute) for field, attribute in attributes(resource).items()
    }
    if "project_id" in known:
        known["tenant_id"] = known["project_id"]
    return known


def bad_value(name: str, value: object, reason: str) -> Invalid:
    """The error for a value that its kind refuses (contract 1.4)."""
    return Invalid(f"Invalid input for field/attribute {name}. Value: '{kinds.shown(value)}'. {reason}")


def unknown_attributes(argument: str, names: Collection[str]) -> Invalid:
    """The error for keys that a request may not have (contract 1.4)."""
    plural = "s" if len(names) > 1 else ""
    listed = kinds.shown(", ".join(sorted(names)), 1024)
    return Invalid(f"Unknown attribute{plural} for argument {argument}: {listed}")


def parse_create(
    resource: type[Declared],
    body: Mapping[str, object],
    defaults: Mapping[str, object],
    *,
    required: Collection[str] = (),
    ignored: Collection[str] = (),
) -> dict[str, object]:
    """Field -> canonical value for every attribute a POST decides, defaults filled in.

    ``defaults`` gives the operator's values for :class:`Configured` defaults. ``required`` adds mandatory
    fields (by field name), ``ignored`` keys of the body that somebody else reads.
    """
    known = by_wire_name(resource)
    given = _fields(resource, body, ignored, creating=True)
    values: dict[str, object] = {}
    for name, (field, attribute) in known.items():
        if name == "tenant_id" or attribute.create is Use.NEVER:
            continue
        value = given.get(field, UNSET)
        if attribute.create is Use.REQUIRED or field in required:
            if value is UNSET or value is None:
                raise bad_value(name, None, "Mandatory field missing.")
        elif value is UNSET:
            values[field] = default_of(attribute, defaults)
            continue
        values[field] = _value(resource, field, value, defaults)
    return values


def parse_update(
    resource: type[Declared],
    body: Mapping[str, object],
    defaults: Mapping[str, object],
    *,
    ignored: Collection[str] = (),
) -> dict[str, object]:
    """Field -> canonical value for the attributes that a PUT carries; absent ones stay as they are.

    Of a record that merges, only the keys that the PUT carries (``session_persistence``).
    """
    given = _fields(resource, body, ignored, creating=False)
    changes: dict[str, object] = {}
    for field, raw in given.items():
        value = _value(resource, field, raw, defaults)
        kind = attributes(resource)[field].kind
        if isinstance(kind, kinds.Record) and kind.merge and isinstance(raw, Mapping):
            value = {key: item for key, item in cast("dict[str, object]", value).items() if key in raw}
        changes[field] = value
    return changes


def extensions_used(
    resource: type[Declared], values: Mapping[str, object]
) -> Iterator[tuple[str, Extension]]:
    """Which of these values are of extensions: the key of each, and the extension.

    Of an object that is as a whole, its own name.
    """
    if resource.extension is not None:
        yield name_of(resource), resource.extension
    for field, attribute in attributes(resource).items():
        value = values.get(field)
        if attribute.extension is not None:
            if value is not None:
                yield wire_name(field, attribute), attribute.extension
        elif isinstance(value, Enum):
            for extension in extensions.ALL:
                if extension.adds(value):
                    yield wire_name(field, attribute), extension


def build(resource: type[R], values: Mapping[str, object]) -> R:
    """The object that these values make, what they leave out at the declared defaults."""
    return msgspec.convert(values, resource)


def default_of(attribute: Attribute, defaults: Mapping[str, object]) -> object:
    """The value of an attribute that nobody gave."""
    if isinstance(attribute.default, Configured):
        return defaults[attribute.default.name]
    if isinstance(attribute.default, list | dict):
        return attribute.default.copy()
    return attribute.default


def _fields(
    resource: type[Declared],
    body: object,
    ignored: Collection[str],
    *,
    creating: bool,
) -> dict[str, object]:
    """Field -> raw value of what the body carries, refusing keys that the request may not have."""
    if not isinstance(body, Mapping):
        raise bad_value(resource.root, body, "Expected an object.")
    known = by_wire_name(resource)
    named = {name: value for name, value in body.items() if name not in ignored}
    unknown = [
        str(name) for name in named if name not in known or not _taken(known[name][1], creating=creating)
    ]
    if unknown:
        argument = argument_of(resource, creating=creating)
        raise unknown_attributes(f"{argument}.{resource.root}", unknown)
    old, new = named.pop("tenant_id", None), named.get("project_id")
    if old is not None and new is not None and old != new:
        raise bad_value("tenant_id", old, "project_id has another value; tenant_id is its old name.")
    if old is not None:
        named["project_id"] = old
    return {known[name][0]: value for name, value in named.items()}


def _taken(attribute: Attribute, *, creating: bool) -> bool:
    """Whether a POST or a PUT may carry the attribute."""
    return attribute.create is not Use.NEVER if creating else attribute.update


def _value(resource: type[Declared], field: str, value: object, defaults: Mapping[str, object]) -> object:
    attribute = attributes(resource)[field]
    name = wire_name(field, attribute)
    if value is None:
        if attribute.null is Null.REFUSE:
            raise bad_value(name, None, "null is not allowed here.")
        return default_of(attribute, defaults) if attribute.null is Null.DEFAULT else attribute.null
    try:
        return attribute.kind.parse(value)
    except kinds.UnknownKeys as refusal:
        raise unknown_attributes(f"{resource.argument}.{resource.root}.{name}", refusal.names) from None
    except kinds.BadValue as refusal:
        if refusal.key:
            raise bad_value(f"{name}.{refusal.key}", refusal.value, str(refusal)) from None
        raise bad_value(name, value, str(refusal)) from None
