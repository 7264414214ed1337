"""Moments as responses show them, written by the database: drivers take longer to make Python's of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class shown_moment(FunctionElement[str]):  # noqa: N801  (an SQL function)
    """A moment in whole seconds, like ``2026-01-02T03:04:05``."""

    type = sa.String()
    inherit_cache = True


def shown(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column, in the form in which responses show it."""
    return shown_moment(column).label(column.name) if isinstance(column.type, sa.DateTime) else column


@compiles(shown_moment, "sqlite")
def _sqlite(element: shown_moment, compiler: SQLCompiler, **_: Any) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S', {compiler.process(element.clauses)})"


@compiles(shown_moment, "mysql", "mariadb")
def _mysql(element: shown_moment, compiler: SQLCompiler, **_: Any) -> str:
    return f"date_format({compiler.process(element.clauses)}, '%%Y-%%m-%%dT%%H:%%i:%%s')"


@compiles(shown_moment, "postgresql")
def _postgresql(element: shown_moment, compiler: SQLCompiler, **_: Any) -> str:
    return f"to_char({compiler.process(element.clauses)}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"
