"""Connections and transactions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from hydria.model.errors import Unavailable

T = TypeVar("T")

# What the engines answer when two transactions cannot both go on: the loser simply tries again.
_LOST_RACES = (
    "deadlock",
    "lock wait timeout",
    "could not serialize",
    "database is locked",
    "record has changed since last read",
)
_TRIES = 6


class Store:
    """The database of one program.

    Reads run in autocommit mode (no statement but the query itself); writes in one transaction each, under
    READ COMMITTED, or with SQLite's write lock taken at the start.
    """

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 20, pool_timeout: int = 10,
                 recycle: int = 3600) -> None:  # fmt: skip
        self.url = sa.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        pool: dict[str, Any] = {"pool_recycle": recycle}
        if not (self.sqlite and self.url.database in (None, "", ":memory:")):
            pool |= {"pool_size": pool_size, "max_overflow": max_overflow, "pool_timeout": pool_timeout}
        writing: dict[str, Any] = {} if self.sqlite else {"isolation_level": "READ COMMITTED"}
        self.writer = sa.create_engine(self.url, **pool, **writing)
        if self.sqlite:
            event.listen(self.writer, "connect", _prepare_sqlite)
            event.listen(self.writer, "begin", _begin_immediate)
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
        else:
            self.reader = sa.create_engine(
                self.url, **pool, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
            )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection whose every statement sees what is committed."""
        with self._translated(), self.reader.connect() as connection:
            yield connection

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in a transaction and commit; again from the start when it lost a race.

        ``work`` may therefore run several times, and must change nothing but the database.
        """
        for attempt in range(_TRIES):
            try:
                with self._translated(), self.writer.begin() as connection:
                    return work(connection)
            except _LostRace as lost:
                if attempt == _TRIES - 1:
                    raise Unavailable(
                        "The database is too busy: the same rows are being changed over and over. Try again."
                    ) from lost
                time.sleep(random.uniform(0.005, 0.05) * 2**attempt)  # noqa: S311  (spreading, not secrecy)
        raise AssertionError("unreachable")

    def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        with self.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close all connections that are not in use; new ones are made when they are needed."""
        self.writer.dispose()
        self.reader.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise  # callers know which rule of theirs it stands for
        except exc.TimeoutError as error:
            raise Unavailable("All database connections are in use. Try again.") from error
        except exc.DBAPIError as error:
            if any(mark in str(error.orig).lower() for mark in _LOST_RACES):
                raise _LostRace from error
            if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
                # What else lies in the pools is as dead; the next request shall not have to find out.
                self.close()
                raise Unavailable("The database does not answer. Try again.") from error
            raise


class _LostRace(Exception):  # noqa: N818  (caught a few lines above)
    """Another transaction won; this one may start again."""


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event below says when a transaction starts
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    # The write lock at the start: a transaction that reads first could otherwise not become a writer.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
