"""Bringing a database's schema up to date, and knowing whether it is."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hydria.model.errors import Unavailable
from hydria.store.engine import Store


def upgrade(store: Store, revision: str = "head") -> None:
    """Run the migrations that the database still lacks."""
    with store.writer.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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
            f"The database {sa.engine.make_url(store.url).render_as_string(hide_password=True)} has schema revision"
            f" {found or 'none'}, this release needs {needed}. Run 'hydria db upgrade'."
        )


def revise(store: Store, message: str, identifier: str) -> None:
    """Write a new migration from the difference between the database and the tables (for developers)."""
    with store.writer.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True, rev_id=identifier)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
