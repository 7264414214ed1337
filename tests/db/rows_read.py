"""How many rows the statements of a store read, as each engine counts them itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from hydria.store import Store

# SQLite counts no rows, but the instructions of its machine: so many at least for each row that it looks at.
_INSTRUCTIONS = 10


@dataclass
class Read:
    """rows: of all statements. statements: each with its rows, on servers."""

    rows: int = 0
    statements: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def counted(store: Store) -> Iterator[Read]:
    """Count what the statements of the block read, by whatever thread."""
    read = Read()
    listeners = {"sqlite": _sqlite, "mysql": _mysql, "postgresql": _postgresql}
    before, after, end = listeners[store.reader.dialect.name](read)
    engines = (store.reader, store.writer)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", before)
        sa.event.listen(engine, "after_cursor_execute", after)
    try:
        yield read
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", before)
            sa.event.remove(engine, "after_cursor_execute", after)
        end()


_Hooks = tuple[Callable[..., None], Callable[..., None], Callable[[], None]]


def _nothing() -> None:
    return


def _mysql(read: Read) -> _Hooks:
    """By the handler's counters: index entries and rows of tables, temporary ones among them."""

    def before(connection: Any, *_: Any) -> None:
        with connection.connection.dbapi_connection.cursor() as cursor:
            cursor.execute("FLUSH STATUS")

    def after(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        with connection.connection.dbapi_connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            found = sum(int(value) for _, value in cursor.fetchall())
        read.rows += found
        read.statements.append((statement, found))

    return before, after, _nothing


def _postgresql(read: Read) -> _Hooks:
    """By the plan, with the rows that its scans have met; statements that read are run once more for that."""

    def before(*_: Any) -> None:
        return

    def after(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("SELECT"):
            return
        with connection.connection.dbapi_connection.cursor() as cursor:
            # Of few pages PostgreSQL reads all rather than some of them, for its disks turn unless they are told.
            cursor.execute("SET random_page_cost = 1.1")
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            found = round(_scanned(cursor.fetchone()[0][0]["Plan"]))
        read.rows += found
        read.statements.append((statement, found))

    return before, after, _nothing


def _scanned(plan: Any) -> float:
    below = sum(_scanned(each) for each in plan.get("Plans", ()))
    if "Relation Name" not in plan:
        return below  # no scan, or one of a bitmap's index, whose rows the table's scan has, too
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    own = sum(plan.get(name, 0) for name in names)
    return below + float(own * plan["Actual Loops"])


def _sqlite(read: Read) -> _Hooks:
    """By the instructions that it has run; a page's rows are fetched after the statement has returned."""
    counting: set[Any] = set()

    def count() -> int:
        read.rows += 1
        return 0

    def before(connection: Any, *_: Any) -> None:
        raw = connection.connection.dbapi_connection
        raw.set_progress_handler(count, _INSTRUCTIONS)
        counting.add(raw)

    def after(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        read.statements.append((statement, 0))

    def end() -> None:
        for raw in counting:
            raw.set_progress_handler(None, 0)

    return before, after, end
