"""Between rows and values: resources as the model knows them, JSON columns as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from hydria.model.resource import Declared, Resource, attributes
from hydria.store import events
from hydria.store.events import What
from hydria.store.tables import live_key, table_of, tags

S = TypeVar("S", bound=msgspec.Struct)


def now() -> datetime:
    """This moment in UTC, without zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


@cache
def json_columns(declared: Any) -> frozenset[str]:
    """The columns of a resource that hold JSON text."""
    return frozenset(
        name for name, attribute in attributes(declared).items() if attribute.kind.column == "json"
    )


def to_row(declared: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Column -> value, as the database takes it; what is not stored is left out."""
    known = attributes(declared)
    row: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known or not known[name].stored:
            continue
        if known[name].kind.column == "json":
            row[name] = None if value is None else msgspec.json.encode(value).decode()
        else:
            row[name] = str(value) if isinstance(value, StrEnum) else value
    return row


def new_row(item: Declared) -> dict[str, Any]:
    """The row of a new object, with the key that keeps it unique."""
    values = {name: getattr(item, name) for name in item.__struct_fields__}
    row = to_row(type(item), values)
    key = live_key(type(item), values)
    return row if key is None else row | {"live_key": key}


@cache
def columns(declared: Any) -> tuple[str, ...]:
    """The names of the table's columns, in the order of a row of ``select(table)``."""
    return tuple(str(column.name) for column in table_of(declared).columns)


def from_row(declared: type[S], row: Sequence[Any]) -> S:
    """The value that a row of ``select(table)`` holds."""
    values = dict(zip(columns(declared), row, strict=True))
    for name in json_columns(declared):
        text = values.get(name)
        if text is not None:
            values[name] = msgspec.json.decode(text)
    values.pop("live_key", None)
    return msgspec.convert(values, declared)


def load(tx: sa.Connection, declared: type[S], *where: sa.ColumnElement[bool]) -> tuple[S, ...]:
    """All objects of one kind that meet the conditions."""
    return tuple(from_row(declared, row) for row in tx.execute(sa.select(table_of(declared)).where(*where)))


def load_below(tx: sa.Connection, declared: type[S], load_balancer_id: str) -> tuple[S, ...]:
    """All objects of one kind that a load balancer has."""
    found = tx.execute(_below(declared), {"owner": load_balancer_id})
    return tuple(from_row(declared, row) for row in found)


def load_one(tx: sa.Connection, declared: type[S], identifier: str, *, lock: bool = False) -> S | None:
    """The object with this key; ``lock`` keeps others from changing it until the transaction ends."""
    row = tx.execute(_one(declared, lock), {"key": identifier}).first()
    return None if row is None else from_row(declared, row)


def update_one(tx: sa.Connection, declared: Any, identifier: str, row: Mapping[str, Any]) -> None:
    """Set these columns of the object with this key."""
    tx.execute(_update(declared), {**row, "changed": identifier})


# Statements of every request are built once: SQLAlchemy takes longer to build one than to run it.
@cache
def _below(declared: Any) -> sa.Select[Any]:
    table = table_of(declared)
    return sa.select(table).where(table.c.load_balancer_id == sa.bindparam("owner"))


@cache
def _one(declared: Any, lock: bool) -> sa.Select[Any]:
    table = table_of(declared)
    query = sa.select(table).where(table.c[getattr(declared, "key", "id")] == sa.bindparam("key"))
    return query.with_for_update() if lock else query


@cache
def _update(declared: Any) -> sa.Update:
    """Sets the columns that its parameters name."""
    table = table_of(declared)
    return sa.update(table).where(table.c[getattr(declared, "key", "id")] == sa.bindparam("changed"))


def insert(tx: sa.Connection, items: Sequence[Declared]) -> None:
    """Insert new objects, all of one kind, in one statement, and their tags."""
    if not items:
        return
    tx.execute(table_of(items[0]).insert(), [new_row(item) for item in items])
    # What nobody has to build is there already.
    events.note_all(tx, items, What.CREATE_START if isinstance(items[0], Resource) else What.CREATE_END)
    tagged = [
        {"resource_id": item.id, "tag": tag}
        for item in items
        if isinstance(item, Resource)
        for tag in dict.fromkeys(item.tags)
    ]
    if tagged:
        tx.execute(tags.insert(), tagged)
