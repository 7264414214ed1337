"""Empty SQLite databases: the migrations run once, since they take longer than most tests."""

import tempfile
from functools import cache
from pathlib import Path

from hydria.store import Store, schema


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
