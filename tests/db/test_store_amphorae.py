"""Amphorae, and when they were last heard of."""

import pytest
import sqlalchemy as sa

from hydria.store import Store, amphorae, tables
from hydria.testing import trees as make
from tests.db import store_scene as scene


def watch(store: Store, number: int = 1, moment: float = 100.0) -> None:
    store.transact(lambda tx: amphorae.watch(tx, scene.amphora(number).id, moment))


def beat(number: int, seen: float, sequence: int = 1) -> dict[str, object]:
    return {"amphora_id": scene.amphora(number).id, "seen": seen, "epoch": 2**53, "sequence": sequence}


def silent(store: Store, before: float) -> list[str]:
    with store.read() as tx:
        return sorted(found.id for found in amphorae.silent(tx, before))


def test_silence_is_noticed_of_those_that_are_watched(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, scene.amphora(1), scene.amphora(2))
    watch(store, 1)
    assert silent(store, 100.0) == []
    assert silent(store, 100.000001) == [scene.AMPHORA]
    store.transact(lambda tx: amphorae.seen(tx, [beat(1, 200.5)]))
    assert silent(store, 200.0) == []
    store.transact(lambda tx: amphorae.unwatch(tx, scene.AMPHORA))
    assert silent(store, 1000.0) == []


@pytest.mark.parametrize("status", ["BOOTING", "ERROR", "PENDING_DELETE", "DELETED"])
def test_silence_of_those_that_do_not_serve_is_none(store: Store, status: str) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store)
    store.transact(lambda tx: amphorae.update(tx, scene.AMPHORA, status=status))
    assert silent(store, 1000.0) == []


def test_many_are_seen_at_once(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in range(1, 6)))
    for number in range(1, 6):
        watch(store, number)
    # One that nobody watches, and one that never was, are not written down.
    store.transact(lambda tx: amphorae.unwatch(tx, scene.amphora(5).id))
    store.transact(
        lambda tx: amphorae.seen(tx, [beat(number, 200.0 + number, number) for number in (4, 3, 5, 2, 99)])
    )
    store.transact(lambda tx: amphorae.seen(tx, []))
    with store.read() as tx:
        found = tx.execute(sa.select(tables.amphora_health).order_by("amphora_id")).all()
    assert [tuple(row)[1:] for row in found] == [
        (100.0, 0, 0), (202.0, 2**53, 2), (203.0, 2**53, 3), (204.0, 2**53, 4),
    ]  # fmt: skip


def test_a_second_watch_begins_anew(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store)
    watch(store, moment=100.0)
    store.transact(lambda tx: amphorae.seen(tx, [beat(1, 150.0)]))
    watch(store, moment=300.0)
    assert silent(store, 299.0) == []
    assert scene.column(store, tables.amphora_health.c.epoch) == [0]


def test_what_was_heard_last_is_known_to_everybody(store: Store) -> None:
    scene.add(store)
    scene.add_amphora(store, *(scene.amphora(number) for number in range(1, 4)))
    watch(store, 1)
    watch(store, 2)
    store.transact(lambda tx: amphorae.seen(tx, [beat(2, 200.0, 7)]))
    store.transact(lambda tx: amphorae.update(tx, scene.amphora(1).id, status="ERROR"))
    names = [scene.amphora(number).id for number in (3, 2, 1)]
    found = store.transact(lambda tx: amphorae.last_heard(tx, names))
    assert found == {
        scene.amphora(1).id: amphorae.Heard(0, 0, None),
        scene.amphora(2).id: amphorae.Heard(2**53, 7, scene.amphora(2).load_balancer_id),
    }
    assert store.transact(lambda tx: amphorae.last_heard(tx, [])) == {}


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
            beats = [beat(number, 200.0 + time) for number in order]
            with store.writer.begin() as tx:  # without the second chances of Store.transact
                amphorae.last_heard(tx, [str(one["amphora_id"]) for one in beats])
                amphorae.seen(tx, beats)

    scene.at_once(1 if store.sqlite else 4, manager)
    assert set(scene.column(store, tables.amphora_health.c.seen)) == {209.0}
