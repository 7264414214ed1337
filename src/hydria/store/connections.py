"""How connections are made, kept and proved alive.

Two engines for a database: the writer's connections are in a transaction from their first statement on, the
reader's commit each statement by itself, so that a read is no round trip but the query.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from hydria.model.errors import Invalid
from hydria.store import dialects

# A connection that has rested for longer is asked whether it lives: the server may have been restarted.
_REST_SECONDS = 1.0

# A host that vanished holds its locks no longer than the second, and nobody waits for a lock longer than the
# first. MariaDB's and MySQL's are in :mod:`.dialects`.
_POSTGRESQL_SESSION = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'"
# What a URL does not say itself. A server that is unreachable, rather than down, answers nothing at all.
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "mysql": {"connect_timeout": 5, "read_timeout": 60, "write_timeout": 60, "charset": "utf8mb4"},
    "postgresql": {
        "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    },
}  # fmt: skip
_PRAGMAS = ("busy_timeout=5000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")


@dataclass(frozen=True, slots=True)
class Pooling:
    """Connections kept open, further ones under load, seconds to wait for one, seconds that one lives."""

    size: int = 10
    overflow: int = 20
    timeout: float = 10
    recycle: int = 3600


def family(url: sa.URL) -> str:
    """The engine: ``sqlite``, ``mysql`` (MariaDB too) or ``postgresql``."""
    name = url.get_backend_name()
    return "mysql" if name == "mariadb" else name


def writer(url: sa.URL, pooling: Pooling) -> sa.Engine:
    """Connections for transactions, under READ COMMITTED, or with SQLite's write lock from the start."""
    if family(url) == "sqlite":
        engine = _pooled(url, pooling)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    # Every transaction ends in a commit or a rollback; the pool need not roll back once more.
    return _pooled(url, pooling, isolation_level="READ COMMITTED", pool_reset_on_return=None)


def reader(url: sa.URL, pooling: Pooling) -> sa.Engine:
    """Connections that see what is committed, statement by statement."""
    return _pooled(url, pooling, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)


def patient(url: sa.URL) -> sa.Engine:
    """One connection for the work on the schema, which may take long."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if family(url) == "sqlite":
        _prepare_sqlite(engine)
        event.listen(
            engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=300000")
        )
        event.listen(engine, "begin", _begin_immediate)
    elif family(url) == "mysql":
        dialects.recognize(engine, settle=False)
        dialects.translate(engine)
    return engine


def _pooled(url: sa.URL, pooling: Pooling, **more: Any) -> sa.Engine:
    kind = family(url)
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise Invalid(
            "A database in memory would be another one in each connection; name a file: sqlite:////PATH."
        )
    arguments = {name: value for name, value in _ARGUMENTS.get(kind, {}).items() if name not in url.query}
    engine = sa.create_engine(
        url,
        connect_args=arguments,
        pool_size=pooling.size,
        max_overflow=pooling.overflow,
        pool_timeout=pooling.timeout,
        pool_recycle=pooling.recycle,
        pool_use_lifo=True,  # few connections that are warm, rather than many that rest
        **more,
    )
    if kind == "sqlite":
        _prepare_sqlite(engine)
    else:
        if url.get_driver_name() == "pymysql":
            from hydria.store import described  # noqa: PLC0415  (not everybody has MariaDB)

            event.listen(engine, "do_connect", described.connect)
        if kind == "mysql":
            dialects.recognize(engine, settle=True)
        else:
            _settle(engine, _POSTGRESQL_SESSION)
        _prove_alive(engine)
    return engine


def _settle(engine: sa.Engine, statement: str) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()


def _prove_alive(engine: sa.Engine) -> None:
    """Have a dead connection found before a request is given it, and all that are as old dropped with it."""

    @event.listens_for(engine, "checkin")
    def _(_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _(connection: Any, record: Any, _proxy: object) -> None:
        if time.monotonic() - record.info.get("rests_since", time.monotonic()) > _REST_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise exc.InvalidatePoolError from error


def _prepare_sqlite(engine: sa.Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def _(*_arguments: object) -> None:
        # Its log, too, is then for nobody else to read. Where it cannot be made, SQLite says so. Only a new
        # file is opened here: closing one would give up all locks that this process has on it.
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(str(engine.url.database), flags, 0o600))

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event says when a transaction starts
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    # The write lock at the start: a transaction that reads first could otherwise not become a writer.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
