"""SQLite's locks are the process's: closing any descriptor of the database's file gives all of them up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from hydria.store import Store, schema

# Another program, or an operator with the sqlite3 command, that looks in and leaves.
VISIT = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM tags').fetchone()[0]); c.close()"


def visit(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    return int(done.stdout)


def test_a_visitor_does_not_take_the_log_away(tmp_path: Path) -> None:
    path = tmp_path / "hydria.db"
    store = Store(f"sqlite:///{path}")
    schema.upgrade(store)
    with store.read() as one, store.read() as other:  # each makes a connection
        one.execute(sa.text("SELECT 1"))
        other.execute(sa.text("SELECT 1"))
        insert = sa.text("INSERT INTO tags (resource_id, tag) VALUES ('r', :tag)")
        for number in range(3):
            store.transact(lambda tx, number=number: tx.execute(insert, {"tag": str(number)}))
            log = (tmp_path / "hydria.db-wal").stat().st_ino
            assert visit(path) == number + 1
            assert (tmp_path / "hydria.db-wal").stat().st_ino == log, (
                "SQLite takes nobody to be there any more"
            )
    store.close()


def test_the_file_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'hydria.db'}")
    schema.upgrade(store)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("hydria.db*")} == {0o600}
    store.close()
