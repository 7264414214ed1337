"""The look for silent amphorae costs what is silent, however many amphorae there are."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.store import Store, heartbeats, rows, tables
from tests.db import store_scene as scene

MANY = 10_000
SILENT = 3
NOW = 2_000_000.0


@pytest.fixture
def fleet(store: Store) -> Store:
    """Many amphorae that are heard, and a few that are not."""
    scene.add(store)
    numbers = range(1, MANY + 1)
    amphorae = [scene.amphora(number) for number in numbers]
    made = [
        rows.to_row(Amphora, {name: getattr(one, name) for name in one.__struct_fields__}) for one in amphorae
    ]
    watched = [
        {
            "amphora_id": one.id, "epoch": 1, "sequence": 1,
            "seen": NOW - (600 if number <= SILENT else number % 10),
        }
        for number, one in enumerate(amphorae, start=1)
    ]  # fmt: skip
    store.transact(lambda tx: tx.execute(tables.amphorae.insert(), made))
    store.transact(lambda tx: tx.execute(tables.amphora_health.insert(), watched))
    if not store.sqlite:
        table = "TABLE" if store.writer.dialect.name in ("mysql", "mariadb") else ""
        with store.reader.connect() as tx:
            for name in ("amphorae", "amphora_health"):
                tx.execute(sa.text(f"ANALYZE {table} {name}"))
    return store


def plans(store: Store) -> list[list[str]]:
    """How the engine runs each statement of the look, a line a step."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(store.reader, "before_cursor_execute", note)
    try:
        with store.read() as tx:
            found = heartbeats.silent(tx, NOW - 60, NOW + 60, 100)
    finally:
        sa.event.remove(store.reader, "before_cursor_execute", note)
    assert len(found) == SILENT
    explain = "EXPLAIN QUERY PLAN" if store.sqlite else "EXPLAIN"
    with store.reader.connect() as tx:
        return [
            [" ".join(map(str, row)) for row in tx.exec_driver_sql(f"{explain} {statement}", parameters)]
            for statement, parameters in asked
        ]


def test_silent_amphorae_are_found_by_an_index(fleet: Store) -> None:
    found = plans(fleet)
    assert len(found) == 2
    for steps in found:
        plan = "\n".join(steps)
        assert "ix_amphora_health_seen" in plan, plan
        for scan in ("Seq Scan", "SCAN amphorae", "filesort", "temporary", "TEMP B-TREE"):
            assert scan not in plan, plan
