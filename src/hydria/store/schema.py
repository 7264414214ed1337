"""Bringing a database's schema up to date, and knowing whether it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc

from hydria.model.errors import Unavailable
from hydria.store import connections, failures
from hydria.store.engine import Store

# A lock that nobody else uses. It waits for somebody else's upgrade, but not for ever.
_POSTGRESQL_LOCK = (
    "SET LOCAL lock_timeout = '300s'",
    "SELECT pg_advisory_xact_lock(x'687964726961'::bigint)",
)


def upgrade(store: Store, revision: str = "head") -> None:
    """Run the migrations that the database still lacks; one program at a time does, others wait for it."""
    with _alone(store) as config:
        command.upgrade(config, revision)


def downgrade(store: Store, revision: str) -> None:
    """Undo migrations down to a revision; ``base`` is the empty database. What they held is lost."""
    with _alone(store) as config:
        command.downgrade(config, revision)


def current(store: Store) -> str | None:
    """The database's revision; None when it has none."""
    with store.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def check(store: Store) -> None:
    """Raise Unavailable unless the schema is the one this release needs."""
    found, needed = current(store), head()
    if found != needed:
        raise Unavailable(
            f"The database {store.url.render_as_string()} has schema revision {found or 'none'}, this release"
            f" needs {needed}. Run 'hydria db upgrade'."
        )


def revise(store: Store, message: str, identifier: str) -> None:
    """Write a new migration from the difference between the database and the tables (for developers)."""
    with _alone(store) as config:
        command.revision(config, message, autogenerate=True, rev_id=identifier)


@contextmanager
def _alone(store: Store) -> Iterator[Config]:
    """Alembic's configuration with a connection, in a transaction, that nobody else migrates beside."""
    engine = connections.patient(store.url)
    try:
        with engine.begin() as connection:
            _lock(connection, store)
            config = _config()
            config.attributes["connection"] = connection
            yield config
    except exc.DBAPIError as error:
        if not (failures.is_away(error) or failures.is_lost_race(error)):
            raise
        raise Unavailable(
            f"The schema of database {store.url.render_as_string()} was not changed to the end. Try again:"
            f" {error.orig}"
        ) from error
    finally:
        engine.dispose()


def _lock(connection: sa.Connection, store: Store) -> None:
    """Until the connection ends; SQLite's transaction is a lock of its own."""
    for statement in _locking(connection, connections.family(store.url)):
        answer = connection.exec_driver_sql(statement)
        if answer.returns_rows and answer.scalar() == 0:
            raise Unavailable("Another program is changing the schema of the database. Try again later.")


def _locking(connection: sa.Connection, family: str) -> Sequence[str]:
    if family == "mysql":
        # Its locks are those of the whole server, so the database is part of the name. MySQL has no md5() any
        # more; the name is that of earlier releases, which may be upgrading at the same time.
        database = str(connection.exec_driver_sql("SELECT database()").scalar())
        digest = hashlib.md5(database.encode(), usedforsecurity=False).hexdigest()
        return (f"SELECT get_lock('hydria-{digest}', 300)",)
    return _POSTGRESQL_LOCK if family == "postgresql" else ()


def _config() -> Config:
    config = Config()
    # Alembic reads % as the start of an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
