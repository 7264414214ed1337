"""MariaDB and MySQL: one protocol, two servers, and what each of them has to be told.

Which of the two it is, and how old, the server itself says: ``version()`` comes through proxies, whose
greeting is their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from hydria.model.errors import Invalid

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_MARIADB, _MYSQL = "MariaDB", "MySQL"
# Since when there is all that Hydria uses: idle_transaction_timeout, utf8mb4_0900_bin.
_OLDEST: Mapping[str, tuple[int, ...]] = {_MARIADB: (10, 3, 1), _MYSQL: (8, 0, 17)}
# A host that vanished holds its locks no longer than the second of each pair, and nobody waits for a lock
# longer than the first. MySQL knows connections that rest, in a transaction or not.
_SESSION = {
    _MARIADB: "SET SESSION innodb_lock_wait_timeout = 5, SESSION idle_transaction_timeout = 60",
    _MYSQL: "SET SESSION innodb_lock_wait_timeout = 5, SESSION wait_timeout = 60",
}
# Text is compared byte by byte, blanks at the end included. The migrations have MariaDB's name of that.
_COLLATION = {_MARIADB: "utf8mb4_nopad_bin", _MYSQL: "utf8mb4_0900_bin"}
_INDEX_IF = re.compile(r"\s*(CREATE|DROP)( UNIQUE)? INDEX IF (?:NOT )?EXISTS (\S+) ON (\S+)(.*)", re.DOTALL)
_INDEXED = (
    "SELECT count(*) FROM information_schema.statistics"
    " WHERE table_schema = database() AND table_name = %s AND index_name = %s"
)
_KIND = "server"


@dataclass(frozen=True, slots=True)
class Server:
    """``kind``: MariaDB or MySQL."""

    kind: str
    version: tuple[int, ...]

    @classmethod
    def of(cls, said: str, dialect: str = "mysql") -> Server:
        """From what ``version()`` says. Raises Invalid for one that is too old or unknown."""
        found = _VERSION.match(said)
        kind = _MARIADB if "mariadb" in said.lower() else _MYSQL
        version = tuple(int(number or 0) for number in found.groups()) if found else ()
        if version < _OLDEST[kind]:
            oldest = {name: ".".join(map(str, numbers)) for name, numbers in _OLDEST.items()}
            raise Invalid(
                f"The database server is {kind} {said}. Hydria needs MariaDB {oldest[_MARIADB]}, MySQL"
                f" {oldest[_MYSQL]} or PostgreSQL, or later ones: upgrade it, or have [database] connection"
                " name another one."
            )
        if dialect == "mariadb" and kind != _MARIADB:
            raise Invalid(
                "[database] connection begins with mariadb, but the server is"
                f" {kind} {said}: write mysql instead."
            )
        return cls(kind, version)


def recognize(engine: sa.Engine, *, settle: bool) -> None:
    """Have each new connection know its server; ``settle``: and be bounded in what it waits for."""

    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy has a look at it
    def _(connection: Any, record: Any) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT version()")
                server = Server.of(str(cursor.fetchone()[0]), engine.dialect.name)
                if settle:
                    cursor.execute(_SESSION[server.kind])
            connection.commit()
        except BaseException:
            connection.close()
            raise
        record.info[_KIND] = server.kind


def skips_locked(connection: sa.Connection) -> bool:
    """Whether the server can leave out rows that somebody else has locked; MariaDB can since 10.6."""
    dialect = connection.dialect
    if dialect.name == "postgresql":
        return True
    if dialect.name not in ("mysql", "mariadb"):
        return False
    version = tuple(dialect.server_version_info or ())[:2]
    return not getattr(dialect, "is_mariadb", False) or version >= (10, 6)


def translate(engine: sa.Engine) -> None:
    """Have statements on the schema, which are MariaDB's, be MySQL's where that is the server."""
    event.listen(engine, "before_cursor_execute", _translated, retval=True)


def _translated(
    connection: sa.Connection, cursor: Any, statement: str, parameters: Any, _context: object, _many: bool
) -> tuple[str, Any]:  # fmt: skip
    if connection.info.get(_KIND) != _MYSQL:
        return statement, parameters
    statement = statement.replace(_COLLATION[_MARIADB], _COLLATION[_MYSQL])
    if found := _INDEX_IF.match(statement):
        verb, unique, name, table, rest = found.groups()
        cursor.execute(_INDEXED, (table.strip("`"), name.strip("`")))
        if (cursor.fetchone()[0] > 0) == (verb == "CREATE"):
            return "DO 0", parameters  # it is so already
        statement = f"{verb}{unique or ''} INDEX {name} ON {table}{rest}"
    return statement, parameters
