"""Heartbeats that come late, twice, in parts, or from amphorae that serve no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.health_manager.receiver import Received
from hydria.model.statuses import AmphoraStatus
from hydria.store import amphorae, tables, totals
from hydria.wire.heartbeat import ListenerReport, Report
from tests.databases import new_store
from tests.unit.test_health_recorder import AMPHORA, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = new_store(tmp_path)
    made = Scene(store)
    yield made
    made.receiver.stop()
    store.close()


def active(scene: Scene) -> int:
    with scene.store.read() as tx:
        return totals.of_load_balancer(tx, scene.tree.load_balancer.id)["active_connections"]


def retire(scene: Scene) -> None:
    def work(tx: sa.Connection) -> None:
        amphorae.unwatch(tx, AMPHORA)
        amphorae.update(tx, AMPHORA, status=AmphoraStatus.ERROR)

    scene.store.transact(work)


def test_what_an_amphora_says_after_it_was_given_up_is_not_heard(scene: Scene) -> None:
    scene.beat("UP", active_connections=7, total_connections=10)
    assert active(scene) == 7
    retire(scene)
    assert active(scene) == 0
    scene.beat("DOWN", active_connections=8, total_connections=20)
    assert active(scene) == 0
    assert scene.total("total_connections") == 10
    assert scene.statuses(tables.members) == {"ONLINE"}


def test_a_transaction_that_is_run_again_loses_no_status(scene: Scene) -> None:
    store: Any = scene.store
    once = store.transact

    def twice(work: Callable[[sa.Connection], Any]) -> Any:
        with pytest.raises(ZeroDivisionError):
            once(lambda tx: (work(tx), 1 / 0))
        return once(work)

    store.transact = twice
    scene.beat("DOWN", total_connections=3)
    assert scene.statuses(tables.members) == {"ERROR"}
    assert scene.total("total_connections") == 3


def test_statuses_that_could_not_be_written_are_written_with_the_next_heartbeat(scene: Scene) -> None:
    scene.beat("UP")
    store: Any = scene.store
    once, calls = store.transact, [0]

    def second_fails(work: Callable[[sa.Connection], Any]) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError("away")
        return once(work)

    store.transact = second_fails
    with pytest.raises(OSError, match="away"):
        scene.beat("DOWN")
    scene.beat("DOWN")
    assert scene.statuses(tables.members) == {"ERROR"}


def part(scene: Scene, number: int, of: int, sequence: int, **groups: Any) -> None:
    report = Report(AMPHORA, 1, sequence, 1, haproxy=True, part=number, parts=of, **groups)
    scene.manager.hear([Received(report, time.time())])


def test_a_lost_part_takes_no_object_offline(scene: Scene) -> None:
    scene.beat("UP")
    listeners = {item.id: ListenerReport("OPEN") for item in scene.tree.listeners}
    pools = {item.id: "UP" for item in scene.tree.pools}
    members = {item.id: "UP" for item in scene.tree.members}
    for sequence in (10, 11, 12):
        part(scene, 1, 2, sequence, listeners=listeners, pools=pools)
    assert scene.statuses(tables.members) == {"ONLINE"}
    part(scene, 2, 2, 13, members={**members, scene.tree.members[0].id: "DOWN"})
    assert scene.statuses(tables.members) == {"ONLINE", "ERROR"}
    assert scene.statuses(tables.pools) == {"DEGRADED"}


def test_what_is_not_heard_of_any_more_is_forgotten(scene: Scene) -> None:
    part(scene, 1, 2, 1)
    assert scene.manager.evaluator._parts
    retire(scene)
    late = Report(AMPHORA, 1, 2, 1, haproxy=True, part=1, parts=2)
    scene.manager.evaluate([Received(late, time.time())])
    assert not scene.manager.evaluator._parts
    assert not scene.manager.evaluator._heard
