"""Amphorae, and when they were last heard of."""

from collections.abc import Mapping

import pytest
import sqlalchemy as sa

from hydria.store import Store, amphorae, heartbeats, tables
from hydria.store.heartbeats import Beat
from hydria.testing import trees as make
from tests.db import store_scene as scene


def watch(store: Store, number: int = 1, moment: float = 100.0) -> None:
    store.transact(lambda tx: amphorae.watch(tx, scene.amphora(number).id, moment))


def beat(seen: float, sequence: int = 1) -> Beat:
    return Beat(seen, 2**53, sequence)


def hear(store: Store, beats: Mapping[int, Beat]) -> dict[str, heartbeats.Heard]:
    named = {scene.amphora(number).id: one for number, one in beats.items()}
    return store.transact(lambda tx: heartbeats.record(tx, named))


def silent(store: Store, before: float, after: float = 2e9) -> list[str]:
    with store.read() as tx:
        return [found.amphora.id for found in heartbeats.silent(tx, before, after, 100)]


def test_silence_is_noticed_of_those_that_are_watched(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, scene.amphora(1), scene.amphora(2))
    watch(store, 1)
    assert silent(store, 100.0) == []
    assert silent(store, 100.000001) == [scene.AMPHORA]
    hear(store, {1: beat(200.5)})
    assert silent(store, 200.0) == []
    store.transact(lambda tx: amphorae.unwatch(tx, scene.AMPHORA))
    assert silent(store, 1000.0) == []


def test_the_longest_silent_come_first_and_those_of_a_time_to_come(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in range(1, 5)))
    for number, moment in ((1, 120.0), (2, 110.0), (3, 500.0), (4, 250.0)):
        watch(store, number, moment)
    assert silent(store, 200.0, 400.0) == [scene.amphora(number).id for number in (3, 2, 1)]
    with store.read() as tx:
        assert [one.seen for one in heartbeats.silent(tx, 200.0, 400.0, 1)] == [500.0, 110.0]
        assert heartbeats.count_silent(tx, 200.0, 400.0) == 3
        assert heartbeats.count_watched(tx) == 4
        assert heartbeats.is_silent(tx, scene.amphora(2).id, 200.0, 400.0)
        assert not heartbeats.is_silent(tx, scene.amphora(4).id, 200.0, 400.0)


@pytest.mark.parametrize("status", ["BOOTING", "ERROR", "PENDING_DELETE", "DELETED"])
def test_silence_of_those_that_do_not_serve_is_none(store: Store, status: str) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store)
    store.transact(lambda tx: amphorae.update(tx, scene.AMPHORA, status=status))
    assert silent(store, 1000.0) == []


def test_many_are_heard_at_once(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in range(1, 6)))
    for number in range(1, 6):
        watch(store, number)
    # One that nobody watches, and one that never was, are not written down.
    store.transact(lambda tx: amphorae.unwatch(tx, scene.amphora(5).id))
    hear(store, {number: beat(200.0 + number, number) for number in (4, 3, 5, 2, 99)})
    assert hear(store, {}) == {}
    with store.read() as tx:
        found = tx.execute(sa.select(tables.amphora_health).order_by("amphora_id")).all()
    assert [tuple(row)[1:] for row in found] == [
        (100.0, 0, 0), (202.0, 2**53, 2), (203.0, 2**53, 3), (204.0, 2**53, 4),
    ]  # fmt: skip


def test_a_heartbeat_that_was_recorded_before_is_no_sign_of_life(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store)
    hear(store, {1: Beat(200.0, 5, 10)})
    for replayed in (Beat(300.0, 5, 10), Beat(300.0, 5, 9), Beat(300.0, 4, 11)):
        hear(store, {1: replayed})
        assert silent(store, 200.000001) == [scene.AMPHORA]
    hear(store, {1: Beat(300.0, 6, 1)})
    assert silent(store, 300.0) == []


def test_any_number_of_heartbeats_are_two_statements(store: Store) -> None:
    numbers = range(1, 101)
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in numbers))
    for number in numbers:
        watch(store, number)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    sa.event.listen(store.writer, "before_cursor_execute", note)
    try:
        hear(store, {number: beat(200.0 + number) for number in numbers})
    finally:
        sa.event.remove(store.writer, "before_cursor_execute", note)
    assert len(statements) == 2, statements
    assert silent(store, 201.0) == []


def test_a_second_watch_begins_anew(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store, moment=100.0)
    hear(store, {1: beat(150.0)})
    watch(store, moment=300.0)
    assert silent(store, 299.0) == []
    assert scene.column(store, tables.amphora_health.c.epoch) == [0]


def test_what_was_heard_last_is_known_to_everybody(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in range(1, 4)))
    watch(store, 1)
    watch(store, 2)
    hear(store, {2: beat(200.0, 7)})
    store.transact(lambda tx: amphorae.update(tx, scene.amphora(1).id, status="ERROR"))
    found = hear(store, {number: beat(200.0) for number in (3, 2, 1)})
    assert found == {
        scene.amphora(1).id: heartbeats.Heard(0, 0, None),
        scene.amphora(2).id: heartbeats.Heard(2**53, 7, scene.amphora(2).load_balancer_id),
    }


def test_who_is_not_watched_any_more_has_no_connections(store: Store) -> None:
    scene.add(store, make.listener(1), make.listener(2))
    scene.add_amphora(store)
    table = tables.listener_statistics
    counters = dict.fromkeys(("active_connections", *tables.COUNTERS), 7)
    bases = {f"base_{name}": 0 for name in tables.COUNTERS}
    for amphora_id in (scene.AMPHORA, "another"):
        row = {"listener_id": make.LISTENER, "amphora_id": amphora_id, "epoch": 1, **counters, **bases}
        store.transact(lambda tx, row=row: tx.execute(table.insert().values(row)))
    store.transact(lambda tx: amphorae.unwatch(tx, scene.AMPHORA))
    assert scene.column(store, table.c.active_connections) == [0, 7]
    assert scene.column(store, table.c.bytes_in) == [7, 7]


def test_health_managers_that_hear_the_same_do_not_deadlock(store: Store) -> None:
    numbers = range(1, 21)
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in numbers))
    for number in numbers:
        watch(store, number)

    def manager(which: int) -> None:
        for time in range(10):
            order = numbers if which % 2 else reversed(numbers)
            beats = {scene.amphora(number).id: beat(200.0 + time, time) for number in order}
            with store.writer.begin() as tx:  # without the second chances of Store.transact
                heartbeats.record(tx, beats)

    scene.at_once(1 if store.sqlite else 4, manager)
    assert set(scene.column(store, tables.amphora_health.c.seen)) == {209.0}


def test_counters_that_are_being_written_hold_up_no_heartbeat_but_the_end_of_service(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store)
    with store.writer.begin() as tx:
        assert heartbeats.lock_serving(tx, [scene.AMPHORA, "unknown"]) == {scene.AMPHORA}
        held_up = scene.waits(store, lambda other: heartbeats.record(other, {scene.AMPHORA: beat(200.0)}))
        assert held_up == store.sqlite, "which has one transaction at a time"
        assert scene.waits(store, lambda other: amphorae.unwatch(other, scene.AMPHORA))
