"""The worker program: what it finds by itself, what it hears, and how it ends."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hydria.messages import LocalWakeups
from hydria.model.errors import Unavailable
from hydria.processes import identity
from hydria.store import backlog, changes, leases, rows, tables
from hydria.store.backlog import Due
from hydria.store.leases import Lease
from hydria.testing import trees as make
from hydria.worker.program import Worker
from hydria.worker.tools import Tools
from tests.unit.test_processes import ended
from tests.unit.test_worker_converger import Agent, Bench, bench
from tests.unit.test_worker_races import Booting

__all__ = ["bench"]  # a fixture


def await_that(reached: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Factory:
    """Makes workers, and stops them in the end."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.made: list[Worker] = []
        self.wakeups = LocalWakeups()

    def start(self, *, poll_interval: float = 0.05, lease_seconds: float = 30.0, **changes: object) -> Worker:
        options = dataclasses.replace(
            self.bench.tools.settings.controller_worker, poll_interval=poll_interval, retry_initial=poll_interval,
            lease_seconds=lease_seconds,
        )  # fmt: skip
        settings = dataclasses.replace(self.bench.tools.settings, controller_worker=options)
        changes = {"settings": settings, "stopping": threading.Event(), **changes}
        tools: Tools = dataclasses.replace(self.bench.tools, **changes)
        worker = Worker(tools, self.wakeups)
        self.made.append(worker)
        worker.start()
        return worker

    def status(self, balancer_id: str) -> str:
        return str(self.bench.tree(balancer_id).load_balancer.provisioning_status)


@pytest.fixture
def workers(bench: Bench) -> Iterator[Factory]:
    factory = Factory(bench)
    yield factory
    for worker in factory.made:
        worker.stop()


def test_work_that_nobody_announced_is_found(workers: Factory) -> None:
    workers.start()
    balancer_id = workers.bench.add()
    await_that(lambda: workers.status(balancer_id) == "ACTIVE")


def test_a_wake_up_is_heard_at_once(workers: Factory) -> None:
    workers.start(poll_interval=3600)
    time.sleep(0.1)
    balancer_id = workers.bench.add()
    workers.wakeups.wake(balancer_id)
    await_that(lambda: workers.status(balancer_id) == "ACTIVE", 5)


def test_changes_that_come_while_it_works_are_all_applied(workers: Factory) -> None:
    workers.start(poll_interval=3600)
    balancer_id = workers.bench.add()
    for _ in range(40):
        workers.bench.touch(balancer_id)
        workers.wakeups.wake(balancer_id)
    await_that(lambda: workers.status(balancer_id) == "ACTIVE", 10)
    assert workers.bench.agent.states[-1][1].generation == 41


@pytest.mark.parametrize("error", [Unavailable("the database is away"), ZeroDivisionError("a mistake")])
def test_nothing_ends_its_looks(workers: Factory, error: Exception) -> None:
    worker = workers.start()
    take, broken = worker._claims.take, [True]

    def sometimes(most: int) -> list[Lease]:
        if broken[0]:
            raise error
        return take(most)

    worker._claims.take = sometimes  # type: ignore[method-assign]
    time.sleep(0.2)
    broken[0] = False
    balancer_id = workers.bench.add()
    await_that(lambda: workers.status(balancer_id) == "ACTIVE")


def test_a_pass_that_breaks_off_is_not_the_end(workers: Factory) -> None:
    class Mistaken(Agent):
        def apply(self, amphora: object, state: object) -> object:
            raise ZeroDivisionError

    broken = workers.bench.add()
    worker = workers.start(amphorae=Mistaken(workers.bench.tools.settings, workers.bench.tools.authority))
    await_that(lambda: workers.bench.tree(broken).load_balancer.attempts >= 3)
    balancer = workers.bench.tree(broken).load_balancer
    assert balancer.provisioning_status == "ERROR"
    assert "unexpected error (ZeroDivisionError)" in balancer.fault
    worker.stop()


def test_it_ends_within_seconds_while_an_amphora_boots(workers: Factory) -> None:
    booting = Booting(workers.bench.tools.settings, workers.bench.tools.authority)
    reached = []
    booting.meanwhile = lambda: reached.append(1)
    worker = workers.start(amphorae=booting)
    balancer_id = workers.bench.add()
    await_that(lambda: reached)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 5
    assert workers.status(balancer_id) == "PENDING_CREATE"
    workers.start()
    await_that(lambda: workers.status(balancer_id) == "ACTIVE")


def many(bench: Bench, number: int) -> list[str]:
    balancers = [
        make.load_balancer(each, provisioning_status="PENDING_CREATE", generation=1, applied_generation=0)
        for each in range(1, number + 1)
    ]

    def work(tx: sa.Connection) -> None:
        for balancer in balancers:
            changes.add_load_balancer(tx, balancer)

    bench.store.transact(work)
    return [str(balancer.id) for balancer in balancers]


def test_a_backlog_is_worked_off_without_waiting_for_the_next_look(workers: Factory) -> None:
    """Each pass that ends makes room for more; a look an hour would find a hundred."""
    found = many(workers.bench, 150)
    workers.start(poll_interval=3600)
    await_that(lambda: {workers.status(each) for each in found} == {"ACTIVE"}, 60)


def test_several_workers_share_the_work_and_visit_nothing_twice(workers: Factory) -> None:
    many(workers.bench, 60)
    row = tables.leases.c
    for _ in range(3):
        workers.start()

    def left() -> list[Due]:
        with workers.bench.store.read() as tx:
            return backlog.due(tx, time.time(), 100)

    await_that(lambda: not left() and not holders(workers.bench), 60)
    assert len({name for name, _ in workers.bench.agent.states}) == len(workers.bench.agent.states) == 60
    with workers.bench.store.read() as tx:
        taken = list(tx.execute(sa.select(row.term)).scalars())
    assert sum(taken) < 1.5 * 60, "once each, but for what was given back while the machine stood still"


def holders(bench: Bench) -> list[str]:
    row = tables.leases.c
    with bench.store.read() as tx:
        return list(tx.execute(sa.select(row.owner).where(row.owner.is_not(None))).scalars())


def test_it_claims_no_more_than_it_begins_soon_and_gives_back_what_it_has_not_begun(workers: Factory) -> None:
    many(workers.bench, 60)
    slow = threading.Event()
    blocked = Agent(workers.bench.tools.settings, workers.bench.tools.authority)
    blocked.during = lambda: (slow.wait(60), None)[1]
    worker = workers.start(amphorae=blocked)
    threads = worker._tools.settings.controller_worker.workers
    await_that(lambda: worker._running == threads)
    assert len(holders(workers.bench)) <= 2 * threads
    ending = threading.Thread(target=worker.stop)
    ending.start()
    slow.set()
    ending.join(30)
    assert holders(workers.bench) == []


def test_what_waits_behind_passes_that_take_long_is_left_to_other_workers(workers: Factory) -> None:
    found = many(workers.bench, 12)
    slow = threading.Event()
    blocked = Agent(workers.bench.tools.settings, workers.bench.tools.authority)
    blocked.during = lambda: (slow.wait(60), None)[1]
    worker = workers.start(amphorae=blocked)
    threads = worker._tools.settings.controller_worker.workers
    await_that(lambda: worker._running == threads)
    workers.start()
    await_that(lambda: sum(workers.status(each) == "ACTIVE" for each in found) == 12 - threads, 30)
    slow.set()
    await_that(lambda: {workers.status(each) for each in found} == {"ACTIVE"}, 30)


def test_a_flood_of_wake_ups_is_worked_off_all_the_same(workers: Factory) -> None:
    workers.start(poll_interval=1)
    found = many(workers.bench, 250)
    for each in found:
        workers.wakeups.wake(each)
    await_that(lambda: {workers.status(each) for each in found} == {"ACTIVE"}, 60)


def test_taskflow_warns_of_nothing(workers: Factory, caplog: pytest.LogCaptureFixture) -> None:
    workers.start()
    balancer_id = workers.bench.add()
    await_that(lambda: workers.status(balancer_id) == "ACTIVE")
    assert [each for each in caplog.records if each.name.startswith("taskflow")] == []


def test_after_its_end_it_takes_nothing_on(workers: Factory) -> None:
    worker = workers.start()
    worker.stop()
    worker._stopped.clear()  # as if it was asked in the very moment
    worker.submit("lb")


def another(bench: Bench) -> str:
    balancer = make.load_balancer(2, provisioning_status="PENDING_CREATE", generation=1, applied_generation=0)
    bench.store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
    return str(balancer.id)


def hold(bench: Bench, balancer_id: str, owner: str, ahead: float = 0.0) -> None:
    lease = bench.store.transact(
        lambda tx: leases.acquire(tx, balancer_id, owner, moment=time.time() + ahead, seconds=30)
    )
    assert lease is not None


def test_what_a_killed_worker_of_this_host_held_is_free_at_once(workers: Factory) -> None:
    balancer_id = workers.bench.add()
    hold(workers.bench, balancer_id, ended())
    workers.start()
    await_that(lambda: workers.status(balancer_id) == "ACTIVE")


# The next to last is of a release that knew its programs by the number alone, which a container has, too.
@pytest.mark.parametrize(
    "owner", [f"host:{identity()}", f"{socket.gethostname()}:{2**22 + 1}", "elsewhere:1"]
)
def test_what_others_hold_stays_theirs(workers: Factory, owner: str) -> None:
    balancer_id = workers.bench.add()
    hold(workers.bench, balancer_id, owner)
    worker = workers.start()
    time.sleep(0.3)
    worker.stop()
    row = tables.leases.c
    with workers.bench.store.read() as tx:
        assert tx.execute(sa.select(row.owner)).scalar() == owner


def test_a_clock_that_was_put_back_keeps_nobody_waiting(workers: Factory) -> None:
    held, failed = workers.bench.add(), another(workers.bench)
    hold(workers.bench, held, "gone:1", ahead=3600)
    row = tables.load_balancers
    late = rows.now() + timedelta(hours=1)
    workers.bench.store.transact(
        lambda tx: tx.execute(sa.update(row).where(row.c.id == failed).values(retry_at=late))
    )
    workers.start()
    await_that(lambda: workers.status(held) == workers.status(failed) == "ACTIVE")
