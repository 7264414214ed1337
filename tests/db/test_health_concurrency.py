"""Two health managers and the API write to the same load balancer at once, on each engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from hydria.health_manager.receiver import Received, Receiver
from hydria.model.amphora import Amphora
from hydria.store import Store, amphorae, changes, rows, tables, trees
from hydria.testing import trees as make
from hydria.wire.heartbeat import ListenerReport, Report
from tests.unit.test_health_recorder import Manager

AMPHORA = "a0000000-0000-4000-8000-000000000001"
SECONDS = 1.5


def test_nobody_gets_in_anybody_elses_way(store: Store) -> None:
    tree = make.web(20)
    balancer = make.load_balancer(generation=1, applied_generation=1)
    store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
    for group in (tree.listeners, tree.pools, tree.members, tree.health_monitors):
        store.transact(lambda tx, group=group: rows.insert(tx, group))
    amphora = Amphora(
        id=AMPHORA, load_balancer_id=balancer.id, status="ALLOCATED", role="STANDALONE", applied_generation=1,
        created_at=rows.now(),
    )  # fmt: skip
    store.transact(lambda tx: amphorae.add(tx, amphora))
    store.transact(lambda tx: amphorae.watch(tx, AMPHORA, time.time()))
    receiver = Receiver("127.0.0.1", 0, "secret")
    sequence = iter(range(1, 1_000_000))

    def beat(manager: Manager, word: str) -> None:
        with store.read() as tx:
            found = trees.load_tree(tx, balancer.id)
        assert found is not None
        number = next(sequence)
        report = Report(
            AMPHORA, 1, number, found.load_balancer.applied_generation, haproxy=True,
            listeners={one.id: ListenerReport("OPEN", total_connections=number) for one in tree.listeners},
            pools={one.id: "UP" for one in tree.pools}, members={one.id: word for one in tree.members},
        )  # fmt: skip
        manager.hear([Received(report, time.time())])

    managers = Manager(store, receiver), Manager(store, receiver)

    def hear(manager: Manager, words: list[str]) -> None:
        for word in words:
            beat(manager, word)

    def change() -> None:
        """As the API and a worker do it."""

        def asked(tx: sa.Connection) -> int:
            locked = changes.lock(tx, balancer.id)
            assert locked is not None
            generation = changes.touch(tx, locked)
            for member in tree.members[::-1]:
                changes.touch_objects(tx, type(member), [member.id], generation)
            return generation

        def applied(tx: sa.Connection) -> None:
            generation = trees.lock_generation(tx, balancer.id)
            found = trees.load_tree(tx, balancer.id)
            assert found is not None
            trees.mark_applied(tx, found, generation)

        store.transact(asked)
        store.transact(applied)

    failures: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def repeat(work: Callable[[], None]) -> None:
        try:
            while time.monotonic() < end:
                work()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    works = [
        lambda: hear(managers[0], ["UP", "DOWN"]),
        lambda: hear(managers[1], ["DOWN", "MAINT"]),
        change,
    ]
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receiver.stop()
    assert failures == []
    beat(Manager(store, receiver), "UP")
    with store.read() as tx:
        statuses = set(tx.execute(sa.select(tables.members.c.operating_status)).scalars())
        found = trees.load_tree(tx, balancer.id)
    assert statuses == {"ONLINE"}
    assert found is not None
    assert (found.load_balancer.operating_status, found.load_balancer.provisioning_status) == (
        "ONLINE",
        "ACTIVE",
    )
