"""What of a heartbeat gets into the database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.health_manager.evaluator import Evaluator
from hydria.health_manager.receiver import Received, Receiver
from hydria.health_manager.recorder import Recorder
from hydria.health_manager.sharing import Sharing
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.store import Store, amphorae, changes, heartbeats, rows, tables
from hydria.testing import trees as make
from hydria.wire.heartbeat import ListenerReport, Report
from tests.databases import new_store

AMPHORA = "a0000000-0000-4000-8000-000000000001"


class Woken(LocalWakeups):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def wake(self, load_balancer_id: str) -> None:
        self.ids.append(load_balancer_id)


class Manager:
    """A health manager whose threads take turns."""

    def __init__(self, store: Store, receiver: Receiver, name: str = "me") -> None:
        self.woken = Woken()
        self.sharing = Sharing(store, name, interval=10.0, trusted_after=60.0, heard_at=time.monotonic)
        self.evaluator = Evaluator(store, self.woken, patience=60.0)
        self.recorder = Recorder(store, receiver, self.woken, self.sharing, self.evaluator.put)

    def hear(self, received: Sequence[Received]) -> None:
        self.evaluate(self.recorder.record(received))

    def evaluate(self, news: Sequence[Received]) -> None:
        reports: dict[str, list[Report]] = {}
        for item in news:
            reports.setdefault(item.report.amphora_id, []).append(item.report)
        self.evaluator.evaluate(reports)


class Scene:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.receiver = Receiver("127.0.0.1", 0, "secret")
        self.manager = Manager(store, self.receiver)
        self.sequence = 0
        self.tree = make.web(3)
        balancer = make.load_balancer(generation=1, applied_generation=1, provisioning_status="ACTIVE")
        amphora = Amphora(
            id=AMPHORA,
            load_balancer_id=balancer.id,
            status="ALLOCATED",
            role="STANDALONE",
            created_at=rows.now(),
        )
        store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
        for group in (self.tree.listeners, self.tree.pools, self.tree.members, self.tree.health_monitors):
            store.transact(lambda tx, group=group: rows.insert(tx, group))
        store.transact(lambda tx: amphorae.add(tx, amphora))
        store.transact(lambda tx: amphorae.watch(tx, AMPHORA, 0.0))

    def beat(self, members: str = "UP", epoch: int = 1, generation: int = 1, **counters: int) -> None:
        self.sequence += 1
        report = Report(
            AMPHORA, epoch, self.sequence, generation, True,
            listeners={item.id: ListenerReport("OPEN", **counters) for item in self.tree.listeners},
            pools={item.id: "UP" for item in self.tree.pools},
            members={item.id: members for item in self.tree.members},
        )  # fmt: skip
        self.manager.hear([Received(report, time.time())])

    def statuses(self, table: sa.Table) -> set[str]:
        with self.store.read() as tx:
            return set(tx.execute(sa.select(table.c.operating_status)).scalars())

    def total(self, name: str) -> int:
        column = tables.listener_statistics.c
        with self.store.read() as tx:
            return int(tx.execute(sa.select(sa.func.sum(column[name] + column[f"base_{name}"]))).scalar_one())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = new_store(tmp_path)
    made = Scene(store)
    yield made
    made.receiver.stop()
    store.close()


def test_statuses_follow_the_report(scene: Scene) -> None:
    scene.beat("UP")
    assert scene.statuses(tables.members) == {"ONLINE"}
    assert scene.statuses(tables.pools) == {"ONLINE"}
    assert scene.statuses(tables.listeners) == {"ONLINE"}
    assert scene.statuses(tables.load_balancers) == {"ONLINE"}
    scene.beat("DOWN")
    assert scene.statuses(tables.members) == {"ERROR"}
    assert scene.statuses(tables.pools) == {"ERROR"}
    assert scene.statuses(tables.load_balancers) == {"ERROR"}


def test_a_time_of_update_moves_with_the_status_alone(scene: Scene) -> None:
    moments: list[set[datetime | None]] = []
    for members in ("DOWN", "DOWN", "UP"):
        scene.beat(members)
        with scene.store.read() as tx:
            moments.append(set(tx.execute(sa.select(tables.members.c.updated_at)).scalars()))
    assert None not in moments[0]
    assert moments[0] == moments[1] != moments[2]


def test_silence_is_over(scene: Scene) -> None:
    with scene.store.read() as tx:
        assert [one.amphora.id for one in heartbeats.silent(tx, time.time() - 5, 2e9, 9)] == [AMPHORA]
    scene.beat()
    with scene.store.read() as tx:
        assert heartbeats.silent(tx, time.time() - 5, 2e9, 9) == []


def test_counters_are_absolute_within_an_epoch_and_add_up_over_epochs(scene: Scene) -> None:
    scene.beat(total_connections=10, bytes_in=100)
    scene.beat(total_connections=15, bytes_in=150)
    assert (scene.total("total_connections"), scene.total("bytes_in")) == (15, 150)
    scene.beat(epoch=2, total_connections=4)
    assert (scene.total("total_connections"), scene.total("bytes_in")) == (19, 150)
    scene.beat(epoch=2, total_connections=6)
    assert scene.total("total_connections") == 21


def test_two_health_managers_count_once(scene: Scene) -> None:
    other = Manager(scene.store, scene.receiver)
    for epoch, count in ((1, 10), (2, 5), (3, 1)):
        scene.beat(epoch=epoch, total_connections=count)
        reports = [
            Received(
                Report(
                    AMPHORA, epoch, scene.sequence, 1, True,
                    listeners={item.id: ListenerReport("OPEN", total_connections=count) for item in scene.tree.listeners},
                ),
                time.time(),
            )
        ]  # fmt: skip
        other.hear(reports)
    assert scene.total("total_connections") == 16


def test_an_unchanged_report_costs_no_look_at_the_tree(scene: Scene) -> None:
    scene.beat()
    statements: list[str] = []
    sa.event.listen(scene.store.writer, "before_cursor_execute", lambda *event: statements.append(event[2]))
    scene.beat()
    assert [text for text in statements if "members" in text] == []
    assert len(statements) <= 3, statements  # begin, note, who serves


def test_a_report_from_before_the_change_says_nothing(scene: Scene) -> None:
    scene.beat("UP")
    balancers = tables.load_balancers
    scene.store.transact(
        lambda tx: tx.execute(sa.update(balancers).values(generation=2, applied_generation=2))
    )
    scene.beat("DOWN", generation=1)
    assert scene.statuses(tables.members) == {"ONLINE"}
    scene.beat("DOWN", generation=2)
    assert scene.statuses(tables.members) == {"ERROR"}


def test_a_listener_that_is_gone_is_not_counted(scene: Scene) -> None:
    scene.store.transact(lambda tx: tx.execute(sa.delete(tables.listeners)))
    scene.beat(total_connections=5)
    with scene.store.read() as tx:
        assert tx.execute(sa.select(tables.listener_statistics)).all() == []


def test_an_amphora_counts_for_its_own_listeners_alone(scene: Scene) -> None:
    stranger = "a0000000-0000-4000-8000-000000000002"
    other = make.load_balancer(id="b0000000-0000-4000-8000-000000000009")
    scene.store.transact(lambda tx: changes.add_load_balancer(tx, other))
    amphora = Amphora(
        id=stranger,
        load_balancer_id=other.id,
        status="ALLOCATED",
        role="STANDALONE",
        created_at=rows.now(),
    )
    scene.store.transact(lambda tx: amphorae.add(tx, amphora))
    scene.store.transact(lambda tx: amphorae.watch(tx, stranger, 0.0))
    scene.beat(bytes_in=5)
    lies = {item.id: ListenerReport("OPEN", bytes_in=1_000_000) for item in scene.tree.listeners}
    scene.manager.hear([Received(Report(stranger, 1, 1, 1, True, listeners=lies), time.time())])
    assert scene.total("bytes_in") == 5 * len(scene.tree.listeners)


def test_one_amphora_that_cannot_be_recorded_does_not_silence_the_others(scene: Scene) -> None:
    other = Amphora(
        id="a" * 36,
        load_balancer_id=scene.tree.load_balancer.id,
        status="ALLOCATED",
        role="STANDALONE",
        created_at=rows.now(),
    )
    scene.store.transact(lambda tx: amphorae.add(tx, other))
    scene.store.transact(lambda tx: amphorae.watch(tx, other.id, 0.0))
    broken = Report(other.id, 2**70, 1, 1, True)
    sound = Report(
        AMPHORA, 1, 1, 1, True, members={item.id: "DOWN" for item in scene.tree.members},
        pools={item.id: "UP" for item in scene.tree.pools},
    )  # fmt: skip
    now = time.time()
    with pytest.raises(OverflowError):
        scene.manager.hear([Received(broken, now), Received(sound, now)])
    scene.manager.evaluate(scene.manager.recorder.record_apart([Received(broken, now), Received(sound, now)]))
    assert scene.statuses(tables.members) == {"ERROR"}


def count(scene: Scene) -> list[str]:
    """The statements from now on."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    for engine in (scene.store.writer, scene.store.reader):
        sa.event.listen(engine, "before_cursor_execute", note)
    return statements


def test_what_is_as_before_costs_three_statements_for_all(scene: Scene) -> None:
    scene.beat()
    scene.beat()
    statements = count(scene)
    scene.beat()
    assert len(statements) == 3, statements  # who was recorded before, and now, and whom they serve


def test_a_member_that_flips_costs_what_it_changes(scene: Scene) -> None:
    scene.beat("UP")
    statements = count(scene)
    scene.beat("DOWN")
    assert scene.statuses(tables.members) == {"ERROR"}
    looks = 4  # those of every heartbeat, and the load balancer's parts
    write = 3 + 3  # lock, who serves, parts; members, pool, load balancer
    assert len(statements[:-1]) == looks + write, statements


def test_an_unchanged_report_is_evaluated_again_when_the_load_balancer_has_moved(scene: Scene) -> None:
    scene.beat("UP")
    scene.beat("UP")
    column = tables.members.c
    wrong = sa.update(tables.members).where(column.id == scene.tree.members[0].id)
    scene.store.transact(lambda tx: tx.execute(wrong.values(operating_status="OFFLINE")))
    scene.beat("UP")
    assert scene.statuses(tables.members) == {"ONLINE", "OFFLINE"}, "nobody has said that it changed"
    moved = sa.update(tables.load_balancers).values(updated_at=rows.now())
    scene.store.transact(lambda tx: tx.execute(moved))
    scene.beat("UP")
    assert scene.statuses(tables.members) == {"ONLINE"}


def test_what_an_amphora_says_waits_for_nobody_and_of_what_waits_the_newest_counts(scene: Scene) -> None:
    """Whoever was heard is recorded although nothing is evaluated."""
    evaluator = scene.manager.evaluator
    for number, word in enumerate(("UP", "DOWN"), start=1):
        report = Report(
            AMPHORA, 1, number, 1, haproxy=True,
            pools={item.id: "UP" for item in scene.tree.pools},
            members={item.id: word for item in scene.tree.members},
        )  # fmt: skip
        evaluator.put(scene.manager.recorder.record([Received(report, time.time())]))
    with scene.store.read() as tx:
        assert heartbeats.silent(tx, time.time() - 5, 2e9, 9) == []
    evaluator.start()
    deadline = time.monotonic() + 30
    while scene.statuses(tables.members) != {"ERROR"} and time.monotonic() < deadline:
        time.sleep(0.02)
    evaluator.stop()
    assert scene.statuses(tables.members) == {"ERROR"}


def pair(scene: Scene) -> str:
    """The amphora is the MASTER of a pair; the id of its BACKUP."""
    backup = "a0000000-0000-4000-8000-000000000002"
    scene.store.transact(lambda tx: amphorae.update(tx, AMPHORA, role="MASTER"))
    amphora = Amphora(
        id=backup, load_balancer_id=scene.tree.load_balancer.id, status="ALLOCATED", role="BACKUP",
        created_at=rows.now(),
    )  # fmt: skip
    scene.store.transact(lambda tx: amphorae.add(tx, amphora))
    scene.store.transact(lambda tx: amphorae.watch(tx, backup, 0.0))
    return backup


def say(scene: Scene, amphora_id: str, sequence: int, word: str, **counters: int) -> None:
    report = Report(
        amphora_id, 1, sequence, 1, haproxy=True,
        listeners={item.id: ListenerReport("OPEN", **counters) for item in scene.tree.listeners},
        pools={item.id: "UP" for item in scene.tree.pools},
        members={item.id: word for item in scene.tree.members},
    )  # fmt: skip
    scene.manager.hear([Received(report, time.time())])


def test_two_amphorae_that_see_a_member_differently_do_not_make_it_flap(scene: Scene) -> None:
    backup = pair(scene)
    say(scene, AMPHORA, 1, "UP", bytes_in=5)
    for sequence in range(1, 4):
        say(scene, backup, sequence, "DOWN", bytes_in=7)
        assert scene.statuses(tables.members) == {"ONLINE"}
    say(scene, AMPHORA, 2, "DOWN", bytes_in=5)
    assert scene.statuses(tables.members) == {"ERROR"}
    assert scene.total("bytes_in") == 12 * len(scene.tree.listeners)


def test_when_the_master_serves_no_more_the_backup_is_believed(scene: Scene) -> None:
    backup = pair(scene)
    say(scene, AMPHORA, 1, "UP")
    say(scene, backup, 1, "DOWN")
    scene.store.transact(lambda tx: amphorae.unwatch(tx, AMPHORA))
    scene.store.transact(lambda tx: amphorae.update(tx, AMPHORA, status="ERROR"))
    say(scene, backup, 2, "DOWN")
    assert scene.statuses(tables.members) == {"ERROR"}


def test_many_amphorae_cost_as_many_statements_as_one(scene: Scene) -> None:
    reports = [Report(AMPHORA, 1, 0, 1, haproxy=True)]
    for number in range(2, 22):
        balancer = make.load_balancer(number, generation=1, applied_generation=1)
        listener = make.listener(number + 10, load_balancer_id=balancer.id)
        amphora = Amphora(
            id=f"a0000000-0000-4000-8000-{number:012x}", load_balancer_id=balancer.id, status="ALLOCATED",
            role="STANDALONE", created_at=rows.now(),
        )  # fmt: skip
        scene.store.transact(lambda tx, one=balancer: changes.add_load_balancer(tx, one))
        scene.store.transact(lambda tx, one=listener: rows.insert(tx, [one]))
        scene.store.transact(lambda tx, one=amphora: amphorae.add(tx, one))
        scene.store.transact(lambda tx, one=amphora: amphorae.watch(tx, one.id, 0.0))
        listeners = {listener.id: ListenerReport("OPEN")}
        reports.append(Report(amphora.id, 1, 0, 1, haproxy=True, listeners=listeners))

    def hear(sequence: int, connections: int) -> None:
        told = []
        for report in reports:
            listeners = {
                name: ListenerReport("OPEN", total_connections=connections) for name in report.listeners
            }
            told.append(Received(replace(report, sequence=sequence, listeners=listeners), time.time()))
        scene.manager.hear(told)

    hear(1, 1)
    hear(2, 2)
    statements = count(scene)
    hear(3, 2)
    assert len(statements) == 3, statements
    hear(4, 3)
    # The same, and for the counters: who serves, and one upsert in a savepoint.
    assert len(statements) == 3 + 3 + 4, statements[3:]
