"""Counters add up: over epochs, over amphorae, whoever writes them, and whatever was rolled back."""

import threading

import pytest
import sqlalchemy as sa

from hydria.store import Store, tables, totals
from hydria.store.statistics import Writer
from hydria.testing import trees as make
from hydria.wire.heartbeat import ListenerReport, Report
from tests.db import store_scene as scene

COUNTED = tables.listener_statistics


def report(
    connections: int, *, epoch: int = 1, active: int = 0, amphora: int = 1, listeners: int = 1
) -> Report:
    counters = ListenerReport("OPEN", 100 * connections, 10 * connections, active, connections, 0)
    return Report(
        scene.amphora(amphora).id, epoch, 1, 1, True,
        listeners={make.identifier(make.Listener, number): counters for number in range(1, listeners + 1)},
    )  # fmt: skip


def write(store: Store, writer: Writer, *reports: Report) -> None:
    def work(tx: sa.Connection) -> None:
        writer.write(tx, reports)

    store.transact(work)


def total(store: Store, name: str = "total_connections") -> int:
    with store.read() as tx:
        return totals.of_listener(tx, make.LISTENER)[name]


@pytest.fixture
def counted(store: Store) -> Store:
    scene.add(store, make.listener(1), make.listener(2))
    scene.add_amphora(store, scene.amphora(1), scene.amphora(2))
    return store


def test_counters_are_absolute(counted: Store) -> None:
    writer = Writer()
    for connections in (3, 5, 5, 9):
        write(counted, writer, report(connections, active=connections))
    assert total(counted) == 9
    assert total(counted, "bytes_in") == 900
    assert total(counted, "bytes_out") == 90
    assert total(counted, "active_connections") == 9
    write(counted, writer, report(9, active=1))
    assert total(counted, "active_connections") == 1


def test_epochs_and_amphorae_add_up(counted: Store) -> None:
    writer = Writer()
    write(counted, writer, report(10, amphora=1), report(100, amphora=2))
    write(counted, writer, report(3, epoch=2, amphora=1), report(101, amphora=2))
    write(counted, writer, report(0, epoch=3, amphora=1), report(101, amphora=2))
    assert total(counted) == 10 + 3 + 101
    with counted.read() as tx:
        assert totals.of_load_balancer(tx, make.BALANCER)["total_connections"] == 114


def test_large_numbers(counted: Store) -> None:
    write(counted, Writer(), report(2**55))
    assert total(counted, "bytes_in") == 100 * 2**55


def test_what_did_not_change_costs_nothing(counted: Store) -> None:
    writer, statements = Writer(), []
    write(counted, writer, report(5, listeners=2))

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    sa.event.listen(counted.writer, "before_cursor_execute", note)
    try:
        write(counted, writer, report(5, listeners=2))
        assert statements == []
        write(counted, writer, report(6, listeners=2))
    finally:
        sa.event.remove(counted.writer, "before_cursor_execute", note)
    assert len(statements) == 3, "one for all listeners, in a savepoint"


def test_several_writers_add_an_epoch_once(counted: Store) -> None:
    writers = [Writer() for _ in range(4)]
    for epoch in range(1, 6):
        barrier = threading.Barrier(len(writers))

        def manager(number: int, epoch: int = epoch, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            write(counted, writers[number], report(10, epoch=epoch, listeners=2))

        scene.at_once(len(writers), manager)
        assert total(counted) == 10 * epoch
    assert len(scene.column(counted, COUNTED.c.epoch)) == 2


def test_a_late_report_takes_nothing_back(counted: Store) -> None:
    early, late = Writer(), Writer()
    write(counted, late, report(4))
    write(counted, early, report(10))
    write(counted, late, report(7))
    assert total(counted) == 10, "of the same epoch"
    write(counted, early, report(2, epoch=2))
    write(counted, late, report(9))
    write(counted, Writer(), report(8))
    assert total(counted) == 12, "of the epoch before"
    write(counted, late, report(3, epoch=2))
    write(counted, early, report(5, epoch=2))
    assert total(counted) == 15
    assert scene.column(counted, COUNTED.c.epoch) == [2]


def test_what_was_rolled_back_is_written_again(counted: Store) -> None:
    writer = Writer()
    write(counted, writer, report(10))

    def fails(tx: sa.Connection) -> None:
        writer.write(tx, [report(4, epoch=2, listeners=2)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        counted.transact(fails)
    assert total(counted) == 10
    # The very same report, and the one after.
    write(counted, writer, report(4, epoch=2, listeners=2))
    assert total(counted) == 14
    write(counted, writer, report(5, epoch=2, listeners=2))
    assert total(counted) == 15
    assert sorted(scene.column(counted, COUNTED.c.total_connections)) == [5, 5]


def test_a_listener_that_is_gone_is_not_counted(counted: Store) -> None:
    writer = Writer()
    write(counted, writer, report(10, listeners=3))
    assert len(scene.column(counted, COUNTED.c.listener_id)) == 2
    listeners = tables.listeners
    counted.transact(lambda tx: tx.execute(sa.delete(listeners).where(listeners.c.id == make.LISTENER)))
    for writer_ in (writer, Writer()):
        write(counted, writer_, report(11, listeners=3))
    assert scene.column(counted, COUNTED.c.listener_id) == [make.identifier(make.Listener, 2)]
    assert total(counted) == 0


def test_a_listener_of_another_load_balancer_is_not_counted(counted: Store) -> None:
    other = make.identifier(make.LoadBalancer, 2)
    scene.add(counted, make.load_balancer(2), make.listener(3, load_balancer_id=other))
    write(counted, Writer(), report(10, listeners=3))
    assert len(scene.column(counted, COUNTED.c.listener_id)) == 2
