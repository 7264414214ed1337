"""First heartbeats of amphorae that boot, and amphorae that have lost what they served."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.health_manager import evaluator, recorder
from hydria.health_manager.receiver import Received
from hydria.model.amphora import Amphora
from hydria.model.statuses import AmphoraStatus
from hydria.planner import convergence
from hydria.store import amphorae, backlog, changes, rows, tables, trees
from hydria.testing import trees as make
from hydria.wire.heartbeat import Report
from tests.databases import new_store
from tests.unit.test_health_recorder import AMPHORA, Scene

BALANCER = make.BALANCER


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = new_store(tmp_path)
    made = Scene(store)
    yield made
    made.receiver.stop()
    store.close()


def hear(scene: Scene, amphora_id: str, sequence: int, generation: int = 0, epoch: int = 1) -> None:
    report = Report(amphora_id, epoch, sequence, generation, haproxy=True)
    scene.manager.hear([Received(report, time.time())])


def add(scene: Scene, number: int, status: AmphoraStatus) -> tuple[str, str]:
    """An amphora that nobody watches yet, and its load balancer."""
    balancer = make.load_balancer(number)
    one = Amphora(
        id=f"c0000000-0000-4000-8000-{number:012x}", load_balancer_id=balancer.id, status=status,
        role="STANDALONE", created_at=rows.now(),
    )  # fmt: skip
    scene.store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
    scene.store.transact(lambda tx: amphorae.add(tx, one))
    return one.id, balancer.id


def test_the_first_heartbeat_of_a_booting_amphora_wakes_its_load_balancer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    amphora_id, balancer_id = add(scene, 2, AmphoraStatus.BOOTING)
    hear(scene, amphora_id, 1)
    assert scene.manager.woken.ids == [balancer_id]
    hear(scene, amphora_id, 2)
    assert scene.manager.woken.ids == [balancer_id], "once in a while is enough"
    monkeypatch.setattr(recorder, "_ASK_AGAIN", 0.0)
    hear(scene, amphora_id, 3)
    assert scene.manager.woken.ids == [balancer_id] * 2


@pytest.mark.parametrize("status", ["PENDING_DELETE", "DELETED", "ERROR"])
def test_what_does_not_boot_wakes_nobody(scene: Scene, status: str) -> None:
    amphora_id, _ = add(scene, 2, AmphoraStatus(status))
    hear(scene, amphora_id, 1)
    hear(scene, "c0000000-0000-4000-8000-00000000ffff", 1)
    assert scene.manager.woken.ids == []


def test_all_that_nobody_watches_are_looked_up_in_one_statement(scene: Scene) -> None:
    booting = [add(scene, number, AmphoraStatus.BOOTING) for number in range(2, 12)]
    statements: list[str] = []
    sa.event.listen(scene.store.reader, "before_cursor_execute", lambda *event: statements.append(event[2]))
    reports = [Report(amphora_id, 1, 1, 0, haproxy=True) for amphora_id, _ in booting]
    assert scene.manager.recorder.record([Received(report, time.time()) for report in reports]) == []
    assert sorted(scene.manager.woken.ids) == sorted(balancer_id for _, balancer_id in booting)
    assert len(statements) == 1, statements


def state(scene: Scene) -> tuple[int, bool, int]:
    """What the amphora is said to serve, whether somebody is to look, and what users want."""
    with scene.store.read() as tx:
        found = trees.load_whole(tx, BALANCER)
    assert found is not None
    tree, (amphora,), _ = found
    return amphora.applied_generation, tree.load_balancer.look_at is not None, tree.load_balancer.generation


@pytest.fixture
def fifth(scene: Scene) -> Scene:
    """The load balancer and its amphora are at generation 5."""
    applied = {"generation": 5, "applied_generation": 5}
    scene.store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(applied)))
    scene.store.transact(lambda tx: amphorae.update(tx, AMPHORA, applied_generation=5))
    return scene


def test_a_rebooted_amphora_that_serves_nothing_is_configured_again(fifth: Scene) -> None:
    hear(fifth, AMPHORA, 1, generation=5)
    hear(fifth, AMPHORA, 1, generation=0, epoch=2)
    assert state(fifth) == (0, True, 5)
    assert fifth.manager.woken.ids == [BALANCER]
    with fifth.store.read() as tx:
        found = trees.load_whole(tx, BALANCER)
        due = [each.load_balancer_id for each in backlog.due(tx, time.time(), 10)]
    assert found is not None
    assert due == [BALANCER]
    plan = convergence.plan(found.tree, found.amphorae)
    configured = [action.amphora.id for action in plan.of(convergence.Configure)]
    assert (plan.kind, configured) == (convergence.Kind.CONFIGURE, [AMPHORA])
    hear(fifth, AMPHORA, 2, generation=0, epoch=2)
    assert fifth.manager.woken.ids == [BALANCER], "somebody is about to look"


def test_one_that_stays_behind_is_noticed_without_a_restart(fifth: Scene) -> None:
    for sequence in (1, 2):
        hear(fifth, AMPHORA, sequence, generation=4)
        assert state(fifth) == (5, False, 5), "that may have been sent before the change"
    hear(fifth, AMPHORA, 3, generation=4)
    assert state(fifth) == (4, True, 5)


def test_one_that_is_behind_for_ever_does_not_keep_workers_busy(
    fifth: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = sa.update(tables.load_balancers).values(look_at=None)
    for epoch in range(1, 10):  # as often as it likes, it says that it has started anew
        hear(fifth, AMPHORA, 1, generation=0, epoch=epoch)
        fifth.store.transact(lambda tx: tx.execute(looked_at))
    assert fifth.manager.woken.ids == [BALANCER]
    monkeypatch.setattr(evaluator, "_PAUSE", 0.0)
    hear(fifth, AMPHORA, 1, generation=0, epoch=10)
    assert fifth.manager.woken.ids == [BALANCER] * 2


def test_one_that_catches_up_was_not_behind(fifth: Scene) -> None:
    for sequence, generation in enumerate((4, 4, 5, 4, 4, 5), start=1):
        hear(fifth, AMPHORA, sequence, generation=generation)
    assert state(fifth) == (5, False, 5)


def test_while_a_change_is_under_way_nobody_is_behind(fifth: Scene) -> None:
    pending = {"generation": 6, "provisioning_status": "PENDING_UPDATE"}
    fifth.store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(pending)))
    for sequence in range(1, 6):
        hear(fifth, AMPHORA, sequence, generation=4)
    hear(fifth, AMPHORA, 1, generation=0, epoch=2)
    assert state(fifth) == (5, False, 6)
