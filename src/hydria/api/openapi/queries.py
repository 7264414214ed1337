"""Query parameters: filters, order, paging, fields and tags (contract 1.7)."""

from __future__ import annotations

from collections.abc import Iterator

from hydria.api.openapi.schemas import Schema
from hydria.model.amphora import Amphora
from hydria.model.resource import Declared, attributes, by_wire_name
from hydria.settings import ApiSettings

_TAGS = {
    "tags": "Only objects that have all of these tags.",
    "tags-any": "Only objects that have at least one of these tags.",
    "not-tags": "Only objects that do not have all of these tags.",
    "not-tags-any": "Only objects that have none of these tags.",
}
_COMMAS = "A list with commas; may be repeated."
_WORD: Schema = {"type": "string"}


def parameter(name: str, schema: Schema, description: str) -> Schema:
    """A query parameter."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def flag(name: str, description: str) -> Schema:
    """A query parameter that is a boolean, false when it is not there."""
    return parameter(name, {"type": "boolean", "default": False}, description)


def fields(resource: type[Declared], settings: ApiSettings, keys: list[str]) -> Iterator[Schema]:
    """The choice of keys, of one object and of lists."""
    if settings.allow_field_selection:
        items: Schema = {"type": "string", "enum": keys}
        yield parameter(
            "fields",
            {"type": "array", "items": items},
            f"Answer with these keys of each {resource.label} alone. {_COMMAS}",
        )


def of_list(resource: type[Declared], settings: ApiSettings) -> Iterator[Schema]:
    """Everything that narrows, orders or cuts a list, but the choice of keys."""
    if settings.allow_filtering:
        yield from _filters(resource)
    if settings.allow_sorting:
        yield from _order(resource)
    if settings.allow_pagination:
        yield from _paging(resource, settings)


def _filters(resource: type[Declared]) -> Iterator[Schema]:
    for name, (_, attribute) in by_wire_name(resource).items():
        if attribute.listed:
            yield parameter(name, dict(attribute.kind.schema()), f"Only objects with this {name}.")
    if resource is Amphora:
        for name in ("project_id", "tenant_id"):
            yield parameter(name, _WORD, "Only amphorae of this project's load balancers.")
    if "tags" in attributes(resource):
        for name, meaning in _TAGS.items():
            yield parameter(name, _WORD, f"{meaning} {_COMMAS}")


def _order(resource: type[Declared]) -> Iterator[Schema]:
    keys = [name for name, (_, attribute) in by_wire_name(resource).items() if attribute.listed]
    one = f"(?:{'|'.join(keys)})"
    yield parameter(
        "sort",
        {"type": "string", "pattern": f"^{one}(?::(?:asc|desc))?(?:,{one}(?::(?:asc|desc))?)*$"},
        f"The order: keys, each with :asc or :desc behind it. {_COMMAS}",
    )
    yield parameter(
        "sort_key",
        {"type": "string", "pattern": f"^{one}(?:,{one})*$"},
        f"The order in the older way of writing; not heard beside sort. {_COMMAS}",
    )
    yield parameter(
        "sort_dir",
        {"type": "string", "pattern": "^(?:asc|desc)(?:,(?:asc|desc))*$"},
        f"The direction for each of sort_key. {_COMMAS}",
    )


def _paging(resource: type[Declared], settings: ApiSettings) -> Iterator[Schema]:
    longest = settings.pagination_max_limit
    yield parameter(
        "limit",
        {"anyOf": [{"type": "integer"}, {"const": "infinite"}]},
        f"The length of a page, at most {longest}, which is also what a page has without it."
        " Zero, less, or infinite: as long as a page may be.",
    )
    key = dict(attributes(resource)[resource.key].kind.schema())
    yield parameter("marker", key, f"The {resource.key} of the object that the page starts behind.")
    yield flag("page_reverse", "The page that ends before the marker, or without one the last page.")
