"""Transactions: run again when they lose a race, and rolled back when they fail."""

import threading

import pytest
import sqlalchemy as sa

from hydria.model.errors import Unavailable
from hydria.model.load_balancer import LoadBalancer
from hydria.store import Store, changes, described, rows, tables
from hydria.testing import trees as make
from tests.db import store_scene as scene

BALANCERS = tables.load_balancers
OTHER = make.identifier(LoadBalancer, 2)


def rename(tx: sa.Connection, identifier: str, name: str) -> None:
    tx.execute(sa.update(BALANCERS).where(BALANCERS.c.id == identifier).values(name=name))


def test_a_deadlock_is_nobodys_failure(store: Store) -> None:
    scene.add(store)
    scene.add(store, make.load_balancer(2))
    runs = []
    both = threading.Barrier(2)

    def work(tx: sa.Connection, number: int) -> None:
        first, second = (make.BALANCER, OTHER) if number else (OTHER, make.BALANCER)
        runs.append(number)
        rename(tx, first, f"name-{number}")
        if not store.sqlite and len(runs) <= 2:
            both.wait(10)
        rename(tx, second, f"name-{number}")

    scene.at_once(2, lambda number: store.transact(lambda tx: work(tx, number)))
    assert len(runs) == (2 if store.sqlite else 3)
    assert len({scene.balancer(store).name, scene.balancer(store, OTHER).name}) == 1


def test_a_failed_transaction_leaves_nothing_and_its_connection_is_fine(store: Store) -> None:
    scene.add(store)

    def fails(tx: sa.Connection) -> None:
        rename(tx, make.BALANCER, "never")
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            store.transact(fails)
    with pytest.raises(sa.exc.IntegrityError):
        scene.add(store)
    assert scene.balancer(store).name == "lb-1"
    store.transact(lambda tx: rename(tx, make.BALANCER, "now"))
    assert scene.balancer(store).name == "now"


def test_a_read_sees_what_is_committed_meanwhile(store: Store) -> None:
    scene.add(store)
    with store.read() as tx:
        before = rows.load_one(tx, LoadBalancer, make.BALANCER)
        store.transact(lambda other: rename(other, make.BALANCER, "new"))
        after = rows.load_one(tx, LoadBalancer, make.BALANCER)
    assert before is not None
    assert after is not None
    assert (before.name, after.name) == ("lb-1", "new")


def test_a_mistake_in_a_statement_is_not_the_databases_fault(store: Store) -> None:
    for statement in ("SELECT nonsense FROM load_balancers", "SELECT 1 FROM nonsense", "NONSENSE"):
        with pytest.raises(sa.exc.DBAPIError), store.read() as tx:
            tx.execute(sa.text(statement))
        with pytest.raises(sa.exc.DBAPIError):
            store.transact(lambda tx, statement=statement: tx.execute(sa.text(statement)))


def test_more_threads_than_connections(store: Store) -> None:
    scene.add(store)
    small = Store(
        store.url.render_as_string(hide_password=False), pool_size=1, max_overflow=1, pool_timeout=5
    )
    try:
        scene.at_once(12, lambda _: small.transact(lambda tx: changes.touch(tx, _locked(tx))))
        assert scene.balancer(store).generation == 13
    finally:
        small.close()


def _locked(tx: sa.Connection) -> LoadBalancer:
    found = changes.lock(tx, make.BALANCER)
    assert found is not None
    return found


def test_no_connection_in_time(store: Store) -> None:
    small = Store(
        store.url.render_as_string(hide_password=False), pool_size=1, max_overflow=0, pool_timeout=0
    )
    try:
        with (
            small.read(),
            pytest.raises(Unavailable, match="All database connections are in use"),
            small.read(),
        ):
            pass
        small.ping()
    finally:
        small.close()


def test_columns_are_taken_apart_once_and_told_apart(store: Store) -> None:
    """Of MariaDB, whose results describe each column anew: kinds, names and lengths stay their own."""
    for _ in range(2):
        with store.read() as tx:
            for value, name in (("7", "a"), (7, "a"), (7, "b"), (None, "a"), ("7" * 100, "a")):
                assert tx.execute(sa.select(sa.literal(value).label(name))).mappings().one() == {name: value}
    if store.url.get_driver_name() == "pymysql":
        before = described.column.cache_info()
        scene.add(store)
        with store.read() as tx:
            for _ in range(3):
                assert rows.load_one(tx, LoadBalancer, make.BALANCER) == scene.balancer(store)
        after = described.column.cache_info()
        assert after.misses - before.misses <= len(BALANCERS.c)
        assert after.hits - before.hits >= 5 * len(BALANCERS.c)
