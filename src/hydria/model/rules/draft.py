"""The object as a request would make it, so that rules for creating and changing read the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from hydria.model.resource import Resource, attributes

R = TypeVar("R", bound=Resource)


def created(resource: type[R], values: Mapping[str, object]) -> R:
    """A new object with these values; null stands for what is decided later (id, times, statuses)."""
    build: Any = resource  # a struct does not check types when it is made: parsing has done so
    drafted: R = build(**{**dict.fromkeys(_required(resource)), **_own(resource, values)})
    return drafted


def updated(stored: R, changes: Mapping[str, object]) -> R:
    """The stored object with these changes made."""
    return msgspec.structs.replace(stored, **_own(type(stored), changes))


@cache
def _required(resource: type[Resource]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(resource) if field.required)


def _own(resource: type[Resource], values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in attributes(resource)}


def without_empty(values: Mapping[str, object], references: tuple[str, ...]) -> dict[str, object]:
    """A copy of the values in which an empty text is null for ``references``, as clients mean it."""
    return {name: None if name in references and value == "" else value for name, value in values.items()}
