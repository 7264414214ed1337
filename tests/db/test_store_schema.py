"""The migrations make the tables of the code, on every engine, whoever else is at it and wherever it broke off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from hydria.model.errors import Unavailable
from hydria.store import Store, schema, tables
from hydria.testing import trees as make
from tests.db import store_scene as scene

UPGRADE = "import sys; from hydria.store import Store, schema; schema.upgrade(Store(sys.argv[1]))"


@pytest.fixture
def empty(database_url: str) -> Store:
    return Store(database_url)


def differences(store: Store) -> list[object]:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(sa.inspect(connection).get_table_names())


def test_up_twice_and_down(empty: Store) -> None:
    with pytest.raises(Unavailable, match=f"has schema revision none, this release needs {schema.head()}"):
        schema.check(empty)
    for _ in range(2):
        schema.upgrade(empty)
        schema.check(empty)
        assert differences(empty) == []
    schema.downgrade(empty, "base")
    assert names(empty) == ["alembic_version"]
    assert schema.current(empty) is None
    schema.upgrade(empty)
    assert differences(empty) == []


def test_several_programs_at_once(empty: Store, database_url: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, database_url], env=environment, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    errors = [program.communicate(timeout=60)[1].decode() for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0], errors
    assert differences(empty) == []


def test_an_upgrade_that_broke_off_is_completed(empty: Store) -> None:
    def fail(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "CREATE TABLE IF NOT EXISTS members" in statement:
            raise ZeroDivisionError

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(ZeroDivisionError):
            schema.upgrade(empty)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)
    schema.upgrade(empty)
    assert differences(empty) == []


def test_what_failed_when_it_was_made_has_not_been_active(empty: Store) -> None:
    """Release 0017 keeps in a column what the time of the last update told before."""
    pools = {
        make.pool(1, provisioning_status="ACTIVE"): True,
        make.pool(2, provisioning_status="PENDING_CREATE"): False,
        make.pool(3, provisioning_status="ERROR"): False,
        make.pool(4, provisioning_status="ERROR", updated_at=make.EPOCH): True,
    }
    schema.upgrade(empty)
    scene.add(empty, *pools)
    schema.downgrade(empty, "0015")
    schema.upgrade(empty)
    found = {pool.id: pool.been_active for pool in scene.tree(empty).pools}
    assert found == {pool.id: active for pool, active in pools.items()}


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    nowhere = Store(f"sqlite:///{tmp_path / 'nowhere' / 'hydria.db'}")
    with pytest.raises(Unavailable, match="was not changed to the end"):
        schema.upgrade(nowhere)
    with pytest.raises(Unavailable):
        schema.check(nowhere)
