"""From query parameters to a ListQuery, and the links to a page's neighbors (contract 1.7)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlencode

from hydria.model import kinds
from hydria.model.amphora import Amphora
from hydria.model.errors import Invalid
from hydria.model.resource import Attribute, Declared, bad_value, by_wire_name, parse_key
from hydria.settings import ApiSettings
from hydria.store.listing import ListQuery, SortKey, TagFilter, last_keys

Params = Mapping[str, str | list[str]]

_TAGS = {"tags": "all", "tags-any": "any", "not-tags": "not_all", "not-tags-any": "not_any"}
_ORDER = ("sort", "sort_key", "sort_dir")
_PLACE = ("limit", "marker", "page_reverse")
# Lists know objects by this name too, as Octavia's do: openstacksdk's filter of listeners is called so.
_ALIASES = {"load_balancer_id": "loadbalancer_id"}
_PROJECT = ("project_id", "tenant_id")
_MANY = {*_TAGS, *_ORDER, "fields"}
_LONGEST = 2**31 - 1
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,100}\s*", re.ASCII)  # Python would take the digits of every script
_MOST_TAGS = 100  # each is a query of its own for the database, which has its limits
# Kinds of these columns are texts: a filter value that cannot be one of theirs matches nothing, as it does in
# Octavia. One that is no number or no boolean is a mistake that is worth an answer.
_TEXT = "text"


def parse(
    settings: ApiSettings, resource: type[Declared], params: Params, scope: Mapping[str, str]
) -> ListQuery:
    """What a list request asks for. ``scope``: field -> value that all objects of the list share.

    Raises Invalid for parameters that mean nothing here.
    """
    for name, value in params.items():
        if isinstance(value, list) and name not in _MANY:
            raise _unclear()
    given, through = _through(resource, params)
    filters, empty = _filters(settings, resource, given)
    marker = str(params["marker"]) if settings.allow_pagination and "marker" in params else None
    return ListQuery(
        scope=scope,
        filters={name: value for name, value in filters.items() if name not in scope},
        empty=empty or any(filters.get(name, value) != value for name, value in scope.items()),
        through=through if settings.allow_filtering else None,
        tags=_tags(params) if settings.allow_filtering else TagFilter(),
        order=_order(resource, params) if settings.allow_sorting else last_keys(resource),
        limit=_limit(settings, params),
        marker=None if marker is None else _marker(resource, marker),
        reverse=settings.allow_pagination and reverse(params),
    )


def fields(settings: ApiSettings, params: Params) -> tuple[str, ...] | None:
    """The keys that the response shall be reduced to; None for all."""
    if "fields" not in params or not settings.allow_field_selection:
        return None
    return tuple(_many(params, "fields"))


def equal(settings: ApiSettings, params: Params, names: Collection[str]) -> dict[str, str]:
    """The filters of a list that is no table; Invalid for parameters that mean nothing there."""
    asked = {name: value for name, value in params.items() if name != "fields"}
    if not settings.allow_filtering:
        return {}
    if any(name not in names or not isinstance(value, str) for name, value in asked.items()):
        raise _unclear()
    return {name: str(value) for name, value in asked.items()}


def links(query: ListQuery, params: Params, url: str, ids: Sequence[str]) -> list[dict[str, str]]:
    """Links to the next and the previous page, given the ids of this one; they repeat the whole request.

    A full page has a neighbor in the direction of travel, though that may turn out empty. Where the marker
    is, there is one for sure; beside an empty page it is the end of the list on that side.
    """
    if query.limit is None:
        return []
    full, came = len(ids) >= query.limit, query.marker is not None
    follows, precedes = (came, full) if query.reverse else (full, came)
    found = []
    if follows:
        found.append(_link("next", query, params, url, ids[-1] if ids else None))
    if precedes:
        found.append(_link("previous", query, params, url, ids[0] if ids else None))
    return found


def _link(rel: str, query: ListQuery, params: Params, url: str, marker: str | None) -> dict[str, str]:
    arguments = [("limit", str(query.limit)), *_others(params)]
    if marker is not None:
        arguments.append(("marker", marker))
    if rel == "previous":
        arguments.append(("page_reverse", "True"))
    return {"rel": rel, "href": f"{url}?{urlencode(arguments)}"}


def _others(params: Params) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        if name not in _PLACE:
            yield from ((name, item) for item in ([value] if isinstance(value, str) else value))


def _filters(
    settings: ApiSettings, resource: type[Declared], params: Params
) -> tuple[dict[str, object], bool]:
    """Field -> value, and whether one of the values is beyond what its attribute can be."""
    known = by_wire_name(resource)
    values: dict[str, object] = {}
    empty = False
    for asked, text in params.items():
        name = _ALIASES.get(asked, asked)
        if name in _TAGS and "tags" not in known:
            raise _unclear()
        if name in _MANY or name in _PLACE or not settings.allow_filtering:
            continue
        if name not in known or not known[name][1].listed:
            raise _unclear()
        field, attribute = known[name]
        if field in values:  # two names of one attribute
            raise _unclear()
        values[field] = _value(name, attribute, str(text))
        empty = empty or values[field] is None
    return values, empty


def _through(resource: type[Declared], params: Params) -> tuple[Params, str | None]:
    """The other parameters, and the project whose load balancers' amphorae are asked for (contract 1.7)."""
    if resource is not Amphora:
        return params, None
    others = {name: value for name, value in params.items() if name not in _PROJECT}
    asked = {str(params[name]) for name in _PROJECT if name in params}
    if len(asked) > 1:
        raise _unclear()
    return others, next(iter(asked), None)


def _value(name: str, attribute: Attribute, text: str) -> object:
    try:
        return attribute.kind.parse(text)
    except kinds.BadValue as refusal:
        if attribute.kind.column.startswith(_TEXT):
            return None
        raise bad_value(name, text, str(refusal)) from None


def _tags(params: Params) -> TagFilter:
    wanted = {part: tuple(dict.fromkeys(_many(params, name))) for name, part in _TAGS.items()}
    if sum(map(len, wanted.values())) > _MOST_TAGS:
        raise Invalid(f"A list can be filtered by at most {_MOST_TAGS} tags.")
    return TagFilter(**wanted)


def _order(resource: type[Declared], params: Params) -> tuple[SortKey, ...]:
    if "sort" in params:
        pairs = [part.partition(":")[::2] for part in _many(params, "sort")]
    else:
        names, directions = list(_many(params, "sort_key")), list(_many(params, "sort_dir"))
        pairs = [(name, directions[i] if i < len(directions) else "") for i, name in enumerate(names)]
    known = by_wire_name(resource)
    keys: dict[str, SortKey] = {}
    for name, direction in pairs:
        if name not in known or not known[name][1].listed:
            raise Invalid(f"Supplied sort key '{kinds.shown(name)}' is not valid.")
        if direction not in ("", "asc", "desc"):
            raise Invalid(
                f"Supplied sort direction '{kinds.shown(direction)}' is not valid; use asc or desc."
            )
        field = known[name][0]
        keys.setdefault(field, SortKey(field, direction == "desc"))
    # What ends the order goes the way it begins: an index serves either direction of all its columns.
    descending = bool(keys) and next(iter(keys.values())).descending
    for key in last_keys(resource):
        keys.setdefault(key.field, SortKey(key.field, descending))
    return tuple(keys.values())


def _limit(settings: ApiSettings, params: Params) -> int | None:
    longest = longest_page(settings)
    if "limit" not in params or not settings.allow_pagination:
        return longest
    try:
        asked = _number(str(params["limit"]))
    except ValueError:
        raise Invalid(
            f"Supplied pagination limit '{kinds.shown(params['limit'])}' is not valid; use a whole number."
        ) from None
    if asked is None or longest is None:
        return asked or longest  # who wants all gets the longest page, whose link leads on
    return min(asked, longest)


def longest_page(settings: ApiSettings) -> int | None:
    """The most items of one answer; None for no limit."""
    return _number(settings.pagination_max_limit) if settings.allow_pagination else None


def _number(text: str) -> int | None:
    """A page length; None for no limit, which is what "infinite" and numbers below 1 say."""
    if text == "infinite":
        return None
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    number = int(text)
    return min(number, _LONGEST) if number > 0 else None


def _marker(resource: type[Declared], text: str) -> str:
    try:
        return parse_key(resource, text)
    except kinds.BadValue:
        raise Invalid(f"Supplied pagination marker '{kinds.shown(text)}' is not valid.") from None


def reverse(params: Params) -> bool:
    """Whether the page before the marker is asked for."""
    text = params.get("page_reverse", "False")
    try:
        return kinds.Boolean().parse(text)
    except kinds.BadValue as refusal:
        raise bad_value("page_reverse", text, str(refusal)) from None


def _many(params: Params, name: str) -> Iterator[str]:
    """The items of a parameter that may be repeated, hold a list with commas, or both."""
    value = params.get(name, [])
    for text in [value] if isinstance(value, str) else value:
        yield from (item for item in text.split(",") if item)


def _unclear() -> Invalid:
    return Invalid("One or more arguments are either duplicate or invalid")
