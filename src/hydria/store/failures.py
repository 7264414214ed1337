"""What a driver's error means: two transactions that got in each other's way, or a database that is away.

Decided by the engines' codes, for their texts come in the server's language.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

# MariaDB: record changed, lock wait timeout, deadlock (of a cluster, too), and a savepoint that is not there
# any more because a deadlock has rolled back the whole transaction.
_MYSQL_RACES = frozenset({1020, 1205, 1213, 1305})
# Serialization failure, deadlock, lock not available.
_POSTGRESQL_RACES = frozenset({"40001", "40P01", "55P03"})
_SQLITE_RACES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# Drivers report these as operational, but it is the statement that is wrong: no such column, no value.
_MYSQL_MISTAKES = frozenset({1054, 1364})


def is_lost_race(error: exc.DBAPIError) -> bool:
    """Whether the transaction may simply be run again."""
    if sqlite := _sqlite_code(error):
        return sqlite in _SQLITE_RACES
    return _sql_state(error) in _POSTGRESQL_RACES or _mysql_code(error) in _MYSQL_RACES


def is_lock_timeout(error: exc.DBAPIError) -> bool:
    """Whether somebody else has kept a lock for as long as this transaction could wait for it."""
    return _sql_state(error) == "55P03" or (not _sqlite_code(error) and _mysql_code(error) == 1205)


def is_away(error: exc.DBAPIError) -> bool:
    """Whether the database cannot answer now, whatever it is asked."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, exc.OperationalError | exc.InterfaceError):
        return False
    return _sqlite_code(error) != sqlite3.SQLITE_ERROR and _mysql_code(error) not in _MYSQL_MISTAKES


def _sqlite_code(error: exc.DBAPIError) -> int:
    """The primary result code; 0 on other engines."""
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def _sql_state(error: exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _mysql_code(error: exc.DBAPIError) -> int:
    first = error.orig.args[0] if error.orig is not None and error.orig.args else 0
    return first if isinstance(first, int) else 0
