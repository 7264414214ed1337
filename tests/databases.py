"""The engines that tests run on, and empty SQLite databases, whose migrations run once: they take longer than most
tests.
"""

import os
import tempfile
from functools import cache
from pathlib import Path

import pytest

from hydria.store import Store, schema

# One more where there is such a server: Debian 12 has none to install.
MYSQL = [pytest.param("mysql", marks=pytest.mark.db)] if "HYDRIA_MYSQLD" in os.environ else []
SERVERS = [
    pytest.param("mariadb", marks=pytest.mark.db),
    pytest.param("postgresql", marks=pytest.mark.db),
    *MYSQL,
]


def new_store(directory: Path) -> Store:
    """A database of the test's own, where programs with that state directory look for theirs."""
    file = directory / "hydria.db"
    file.write_bytes(empty_database())
    return Store(f"sqlite:///{file}")


@cache
def empty_database() -> bytes:
    """The file of a database with the schema and nothing in it."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "hydria.db"
        store = Store(f"sqlite:///{file}")
        schema.upgrade(store)
        store.close()
        return file.read_bytes()
