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
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from hydria.model.errors import Invalid
from hydria.model.resource import Declared, attributes
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.store.moments import shown
from hydria.store.tables import amphorae, load_balancers, table_of, tags

_LIMIT = "page_limit"
# About the root of a page's length times the objects of a large deployment: to look at the objects that have
# a tag, and to look for a page of them among all objects, cost the same then.
_FEW = 3000
# For one tag and for several: each may be common and no object have all, so that to look for a page would be
# to look at everything. Of this many the rarest is looked for.
_FEW_OF_ONE, _FEW_OF_SEVERAL = (_FEW,), (100, _FEW, 20_000)
_COMPARED = 10
# MariaDB and MySQL find alternatives (a > x, or a = x and b > y) by an index, but no comparison of rows; the
# others find (a, b) > (x, y), but go through all that meets no alternative.
_RANGES_OF_ALTERNATIVES = ("mysql", "mariadb")


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
    conditions = [*_equal(table, query.filters), *_tagged(tx, table, query.tags)]
    if query.through is not None:
        conditions.append(_owned(tx, table, query.through))
    found: list[sa.Row[Any]] = []
    position = None if query.marker is None else _position(tx, resource, query)
    for order, *within in _parts(table, keys, position, tx.dialect.name):
        left = None if query.limit is None else query.limit - len(found)
        if left != 0:
            statement = _page(resource, fields, tuple(query.scope), order, limited=left is not None)
            if conditions or within:
                statement = statement.where(*conditions, *within)
            found += tx.execute(statement, {**query.scope, _LIMIT: left})
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
    query = query.order_by(
        *(
            _ordered(table.c[key.field], descending=key.descending, first=number == 0)
            for number, key in enumerate(keys)
        )
    )
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


def _tagged(tx: sa.Connection, table: sa.Table, wanted: TagFilter) -> Iterator[sa.ColumnElement[bool]]:
    """What the tags of an object have to be.

    Of a tag that few have, it is they that are looked at. Where all have many, objects are looked at in the
    order of the list, each with its tags, until the page is full.
    """

    def among(names: Sequence[str]) -> sa.Select[Any]:
        return sa.select(tags.c.resource_id).where(tags.c.tag.in_(names))

    def number(names: Sequence[str]) -> sa.ScalarSelect[Any]:
        # Of each object: engines turn whatever says EXISTS or IN into a join, and may begin it with the tags.
        its = sa.select(sa.func.count()).where(tags.c.resource_id == table.c.id, tags.c.tag.in_(names))
        return its.correlate(table).scalar_subquery()

    every, some = tuple(dict.fromkeys(wanted.all)), tuple(dict.fromkeys(wanted.any))
    rare = next(
        (
            name
            for bound in (_FEW_OF_ONE if len(every) == 1 else _FEW_OF_SEVERAL)
            for name in every[:_COMPARED]
            if _few(tx, among([name]), bound)
        ),
        None,
    )
    if rare is not None:
        yield table.c.id.in_(among([rare]))
    if others := [name for name in every if name != rare]:
        yield number(others) == len(others)
    if some:
        yield table.c.id.in_(among(some)) if rare is None and _few(tx, among(some)) else number(some) > 0
    if wanted.not_all:
        yield number(wanted.not_all) < len(set(wanted.not_all))
    if wanted.not_any:
        yield number(wanted.not_any) == 0


def _owned(tx: sa.Connection, table: sa.Table, project_id: str) -> sa.ColumnElement[bool]:
    """What is on a load balancer of a project; see :func:`_tagged`."""
    balancers = load_balancers.c
    theirs = sa.select(balancers.id).where(balancers.project_id == project_id)
    if _few(tx, theirs, _FEW // 3):
        return table.c.load_balancer_id.in_(theirs)
    owner = sa.select(balancers.project_id).where(balancers.id == table.c.load_balancer_id)
    return owner.correlate(table).scalar_subquery() == project_id


def _few(tx: sa.Connection, query: sa.Select[Any], number: int = _FEW) -> bool:
    """Whether a query finds so few rows that it is better to look at them than at objects one by one."""
    return tx.execute(query.limit(1).offset(number)).first() is None


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


_Part = tuple[tuple[SortKey, ...], *tuple[sa.ColumnElement[bool], ...]]


def _parts(
    table: sa.Table, keys: tuple[SortKey, ...], position: Sequence[Any] | None, engine: str
) -> list[_Part]:
    """What comes after a position, or everything, as one range of an index each, in the order of the list.

    Each with the order within it. There are two where null, which comes before every value, parts them.
    """
    column, falling = table.c[keys[0].field], keys[0].descending
    if not column.nullable:
        return [(keys,) if position is None else (keys, _behind(table, keys, position, engine))]
    # Among rows that have null there PostgreSQL takes no index for the order of the keys behind it, MariaDB
    # none for the order of all.
    nulls: _Part = (keys if engine == "postgresql" else keys[1:], column.is_(None))
    values: _Part = (keys, column.is_not(None))
    if position is None:
        if engine != "postgresql":
            return [(keys,)]
    elif position[0] is None:
        nulls = (*nulls, _behind(table, keys[1:], position[1:], engine))
        if falling:
            return [nulls]
    else:
        values = (keys, _behind(table, keys, position, engine))
        if not falling:
            return [values]
    return [values, nulls] if falling else [nulls, values]


def _behind(
    table: sa.Table, keys: Sequence[SortKey], position: Sequence[Any], engine: str
) -> sa.ColumnElement[bool]:
    """What comes after a position; of nothing that has null where the position's first value is none."""
    columns = [table.c[key.field] for key in keys]
    bounds = [sa.literal(value, column.type) for column, value in zip(columns, position, strict=True)]
    one_way = len({key.descending for key in keys}) == 1
    if engine not in _RANGES_OF_ALTERNATIVES and one_way and not any(each.nullable for each in columns[1:]):
        present, marked = sa.tuple_(*columns), sa.tuple_(*bounds)
        return present < marked if keys[0].descending else present > marked
    alternatives = []
    equal: list[sa.ColumnElement[bool]] = []
    for number, (key, column, bound) in enumerate(zip(keys, columns, bounds, strict=True)):
        beyond: sa.ColumnElement[bool] = column < bound if key.descending else column > bound
        if position[number] is None:
            beyond = sa.false() if key.descending else column.is_not(None)
        elif key.descending and column.nullable and number:
            beyond = sa.or_(beyond, column.is_(None))
        alternatives.append(sa.and_(*equal, beyond))
        equal.append(column.is_(None) if position[number] is None else column == bound)
    return sa.or_(*alternatives)


def _ordered(column: sa.Column[Any], *, descending: bool, first: bool) -> sa.ColumnElement[Any]:
    """An item of ORDER BY. The first of them never meets null and values together: see :func:`_parts`."""
    if column.nullable and not first:
        return null_last(column) if descending else null_first(column)
    return column.desc() if descending else column.asc()


class null_first(FunctionElement[Any]):  # noqa: N801  (an SQL expression)
    """Ascending, with null before every value: what engines do unasked, but PostgreSQL."""

    inherit_cache = True


class null_last(FunctionElement[Any]):  # noqa: N801  (an SQL expression)
    """Descending, with null behind every value."""

    inherit_cache = True


@compiles(null_first)
def _null_first(element: null_first, compiler: SQLCompiler, **more: Any) -> str:
    return f"{compiler.process(element.clauses, **more)} ASC"


@compiles(null_last)
def _null_last(element: null_last, compiler: SQLCompiler, **more: Any) -> str:
    return f"{compiler.process(element.clauses, **more)} DESC"


@compiles(null_first, "postgresql")
def _null_first_of_postgresql(element: null_first, compiler: SQLCompiler, **more: Any) -> str:
    return f"{_null_first(element, compiler, **more)} NULLS FIRST"


@compiles(null_last, "postgresql")
def _null_last_of_postgresql(element: null_last, compiler: SQLCompiler, **more: Any) -> str:
    return f"{_null_last(element, compiler, **more)} NULLS LAST"
