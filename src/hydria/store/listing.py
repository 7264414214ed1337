"""Reading for the API: one row by its id, or a page of a list.

Pages are found by their position in the order (keyset), not by counting: what comes or goes on earlier pages
moves nothing. The order is total, since ``created_at`` and ``id`` end it, and the same on every engine: null
comes before every value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa

from hydria.model.errors import Invalid
from hydria.model.resource import Declared, attributes
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.store.moments import shown
from hydria.store.tables import amphorae, load_balancers, table_of, tags

_LIMIT = "page_limit"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One level of an order, by field."""

    field: str
    descending: bool = False


def last_keys(resource: type[Declared]) -> tuple[SortKey, ...]:
    """What ends every order of these objects, and makes it total."""
    created = (SortKey("created_at"),) if "created_at" in attributes(resource) else ()
    return (*created, SortKey(resource.key))


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Tags that an object must have all of or any of, and ones it must not have all of or any of."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    not_all: tuple[str, ...] = ()
    not_any: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which objects, in which order, and which part of them.

    scope: field -> value of every object of the list, and of the marker too (the pool, the project).
    filters: field -> value, besides. empty: some filter can match nothing.
    through: the project of the load balancers that they are on, for objects that have none of their own.
    order: ends with the last_keys of the resource. limit: None for no end.
    marker: the page starts behind the object with this key, or with ``reverse`` ends before it; without a
    marker it is the first page, or with ``reverse`` the last.
    """

    scope: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, object] = field(default_factory=dict)
    empty: bool = False
    through: str | None = None
    tags: TagFilter = field(default_factory=TagFilter)
    order: tuple[SortKey, ...]
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


def row(
    tx: sa.Connection,
    resource: type[Declared],
    fields: tuple[str, ...],
    identifier: str,
    parent: str | None = None,
) -> sa.Row[Any] | None:
    """These fields of the object with this key; None when it does not exist or is DELETED.

    Moments are in the form of responses. ``parent``: the id of what it must be in (a member's pool).
    """
    query = _one(resource, fields, within=parent is not None)
    return tx.execute(query, {"identifier": identifier, "parent": parent}).first()


def page(
    tx: sa.Connection, resource: type[Declared], fields: tuple[str, ...], query: ListQuery
) -> Sequence[sa.Row[Any]]:
    """These fields of each object of the page, in the order asked for; moments in the form of responses.

    Raises Invalid when there is no object with the marker's key.
    """
    if query.empty:
        return ()
    table = table_of(resource)
    keys = tuple(SortKey(key.field, key.descending != query.reverse) for key in query.order)
    statement = _page(resource, fields, tuple(query.scope), keys, limited=query.limit is not None)
    conditions = [*_equal(table, query.filters), *_tagged(table, query.tags)]
    if query.through is not None:
        owned = sa.select(load_balancers.c.id).where(load_balancers.c.project_id == query.through)
        conditions.append(table.c.load_balancer_id.in_(owned))
    if query.marker is not None:
        conditions.append(_behind(table, keys, _position(tx, resource, query)))
    if conditions:
        statement = statement.where(*conditions)
    found = tx.execute(statement, {**query.scope, _LIMIT: query.limit}).all()
    return found[::-1] if query.reverse else found


# To build a statement takes longer than to run it; of these, clients can ask for more than there is room for.
@lru_cache(maxsize=256)
def _page(
    resource: type[Declared],
    fields: tuple[str, ...],
    scope: tuple[str, ...],
    keys: tuple[SortKey, ...],
    *,
    limited: bool,
) -> sa.Select[Any]:
    """What all pages have in common; the values of ``scope`` are parameters of these names."""
    table = table_of(resource)
    query = sa.select(*(shown(table.c[name]) for name in fields)).where(
        *_living(table), *(table.c[name] == sa.bindparam(name) for name in scope)
    )
    query = query.order_by(*(order for key in keys for order in _ordered(table, key)))
    return query.limit(sa.bindparam(_LIMIT, type_=sa.Integer)) if limited else query


@cache
def _one(resource: type[Declared], fields: tuple[str, ...], *, within: bool) -> sa.Select[Any]:
    table = table_of(resource)
    query = sa.select(*(shown(table.c[name]) for name in fields))
    query = query.where(table.c[resource.key] == sa.bindparam("identifier"))
    if within:
        query = query.where(table.c[resource.within] == sa.bindparam("parent"))
    return query.where(*_living(table))


def _living(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    if table is amphorae:
        return (table.c.status != str(AmphoraStatus.DELETED),)
    if "provisioning_status" not in table.c:
        return ()
    return (table.c.provisioning_status != str(ProvisioningStatus.DELETED),)


def _equal(table: sa.Table, values: Mapping[str, object]) -> Iterator[sa.ColumnElement[bool]]:
    for name, value in values.items():
        column = table.c[name]
        if isinstance(value, datetime) and value.microsecond == 0:
            # Responses show whole seconds, so that is what clients ask for.
            yield sa.and_(column >= value, column < value + timedelta(seconds=1))
        else:
            yield column == sa.literal(value, column.type)


def _tagged(table: sa.Table, wanted: TagFilter) -> Iterator[sa.ColumnElement[bool]]:
    def has(*names: str) -> sa.ColumnElement[bool]:
        return table.c.id.in_(sa.select(tags.c.resource_id).where(tags.c.tag.in_(names)))

    if wanted.all:
        yield from (has(name) for name in wanted.all)
    if wanted.any:
        yield has(*wanted.any)
    if wanted.not_all:
        yield sa.not_(sa.and_(*(has(name) for name in wanted.not_all)))
    if wanted.not_any:
        yield sa.not_(has(*wanted.not_any))


def _position(tx: sa.Connection, resource: type[Declared], query: ListQuery) -> Sequence[Any]:
    """The marker's value of each sort key; a load balancer that was deleted still marks its place."""
    table = table_of(resource)
    found = tx.execute(
        sa.select(*(table.c[key.field] for key in query.order)).where(
            table.c[resource.key] == query.marker, *_equal(table, query.scope)
        )
    ).first()
    if found is None:
        raise Invalid(f"Supplied pagination marker '{query.marker}' is not valid.")
    return found


def _behind(table: sa.Table, keys: Sequence[SortKey], position: Sequence[Any]) -> sa.ColumnElement[bool]:
    """What comes after a position: equal in the first keys and behind it in the next one."""
    alternatives = []
    equal: list[sa.ColumnElement[bool]] = []
    for key, value in zip(keys, position, strict=True):
        column = table.c[key.field]
        bound = sa.literal(value, column.type)
        beyond: sa.ColumnElement[bool] = column < bound if key.descending else column > bound
        if value is None:
            beyond = sa.false() if key.descending else column.is_not(None)
        elif key.descending and column.nullable:
            beyond = sa.or_(beyond, column.is_(None))
        alternatives.append(sa.and_(*equal, beyond))
        equal.append(column.is_(None) if value is None else column == bound)
    return sa.or_(*alternatives)


def _ordered(table: sa.Table, key: SortKey) -> Iterator[sa.ColumnElement[Any]]:
    column = table.c[key.field]
    if column.nullable:
        first = column.is_(None)
        yield first.asc() if key.descending else first.desc()
    yield column.desc() if key.descending else column.asc()
