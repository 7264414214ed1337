"""What a worker claims of the work that is due, and in which order."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.model.load_balancer import LoadBalancer
from hydria.store import Store, changes, rows, tables
from hydria.store.leases import Lease
from hydria.testing import trees as make
from hydria.worker.claims import Claims
from tests.databases import new_store

_LOOK = 100  # what one finds


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


def add(store: Store, numbers: range) -> None:
    """Load balancers with work to do, the later the higher the number."""
    began = rows.now() - timedelta(days=1)

    def work(tx: sa.Connection) -> None:
        for number in numbers:
            balancer = make.load_balancer(
                number, provisioning_status="PENDING_UPDATE", generation=2, applied_generation=1,
                updated_at=began + timedelta(seconds=number),
            )  # fmt: skip
            changes.add_load_balancer(tx, balancer)

    store.transact(work)


def ids(numbers: range) -> set[str]:
    return {make.identifier(LoadBalancer, number) for number in numbers}


def test_nothing_that_has_waited_longer_is_left_behind(store: Store) -> None:
    """However much comes after it: all that a look has found is taken before the next look."""
    add(store, range(1, 151))
    claims = Claims(store, "me:1", 30.0, 120.0)
    taken: list[Lease] = []
    later = 151
    while len(taken) < _LOOK:
        taken += claims.take(min(7, _LOOK - len(taken)))
        add(store, range(later, later + 10))
        later += 10
    assert {lease.load_balancer_id for lease in taken} == ids(range(1, _LOOK + 1))
    assert claims.more


def test_it_takes_what_there_is_for_its_threads_and_no_more(store: Store) -> None:
    add(store, range(1, 6))
    claims = Claims(store, "me:1", 30.0, 120.0)
    first = claims.take(3)
    assert len(first) == 3
    assert claims.more
    second = claims.take(3)
    assert {lease.load_balancer_id for lease in (*first, *second)} == ids(range(1, 6))
    assert not claims.more
    assert claims.take(3) == []


def test_what_others_took_since_the_look_costs_no_turn(store: Store) -> None:
    """It looks again instead of waiting."""
    add(store, range(1, 11))
    mine, theirs = Claims(store, "me:1", 30.0, 120.0), Claims(store, "you:2", 30.0, 120.0)
    assert len(mine.take(1)) == 1
    assert len(theirs.take(9)) == 9
    add(store, range(11, 13))
    assert {lease.load_balancer_id for lease in mine.take(5)} == ids(range(11, 13))
    with store.read() as tx:
        assert set(tx.execute(sa.select(tables.leases.c.term)).scalars()) == {1}
