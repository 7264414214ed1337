"""Lists that no table holds, narrowed, sorted and cut in memory: those of other services' APIs.

They follow the clients of those services: a filter may be given several times and then matches any of its
values, and one by an attribute that the objects do not have finds none. Objects are as responses show them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from hydria.api.listing import Params
from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.resource import bad_value

Item = Mapping[str, object]
Order = Sequence[tuple[str, bool]]  # key, and whether it runs downwards


def many(params: Params, name: str) -> list[str]:
    """All values of a parameter."""
    value = params.get(name, [])
    return [value] if isinstance(value, str) else list(value)


def matching(items: Iterable[Item], params: Params, apart: Collection[str]) -> list[Item]:
    """The items that all filters let through. ``apart``: parameters that are none."""
    filters = {name: many(params, name) for name in params if name not in apart}
    return [item for item in items if all(_matches(item, *each) for each in filters.items())]


def ordered(items: Iterable[Item], order: Order, known: Collection[str]) -> list[Item]:
    """The items in this order; what has no value comes first. Invalid for a key that is not ``known``."""
    found = list(items)
    for key, downwards in reversed(order):
        if key not in known:
            raise Invalid(
                f"Supplied sort key '{kinds.shown(key)}' is not valid; use one of {_listed(known)}."
            )
        found.sort(key=_value(key), reverse=downwards)
    return found


def downwards(direction: str) -> bool:
    """Whether a direction is downwards; upwards when it is none. Invalid for any other word."""
    if direction not in ("", "asc", "desc"):
        raise Invalid(f"Supplied sort direction '{kinds.shown(direction)}' is not valid; use asc or desc.")
    return direction == "desc"


def number(params: Params, name: str, default: int = 0) -> int:
    """A parameter that is a whole number from 0 on."""
    text = params.get(name, str(default))
    try:
        return kinds.Integer(0, 2**63 - 1).parse(text)
    except kinds.BadValue as refusal:
        raise bad_value(name, text, str(refusal)) from None


def _matches(item: Item, name: str, wanted: Sequence[str]) -> bool:
    value = item.get(name)
    if isinstance(value, bool):
        return value in [_boolean(name, text) for text in wanted]
    values = value if isinstance(value, list) else [value]
    return any(("" if each is None else str(each)) in wanted for each in values) and name in item


def _boolean(name: str, text: str) -> bool:
    try:
        return kinds.Boolean().parse(text)
    except kinds.BadValue as refusal:
        raise bad_value(name, text, str(refusal)) from None


def _value(key: str) -> Callable[[Item], tuple[bool, str | int]]:
    def value(item: Item) -> tuple[bool, str | int]:
        found = item.get(key)
        return found is not None, found if isinstance(found, int) else str(found)

    return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
