"""What statements read follows what they find, not how much there is: 10,000 load balancers on each engine."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.store import Store, quotas, secret_users, tables, upkeep
from hydria.testing import trees as make
from tests.db.conftest import ENGINES
from tests.db.many_rows import (
    BOUNDED,
    COPIES,
    DEEP,
    ENDS,
    FLAT,
    LARGE,
    OF_TAGS,
    SMALL,
    Case,
    amphora,
    load,
    page,
)
from tests.db.rows_read import counted

MANY = 10_000
# One driver of MariaDB's is enough.
pytestmark = pytest.mark.parametrize(
    "upgraded", [each for each in ENGINES if "mysqlclient" not in str(each)], indirect=True, scope="session"
)


@pytest.fixture(scope="module")
def full(upgraded: Store) -> Iterator[Store]:
    """Filled once for all tests."""
    load(upgraded, MANY)
    yield upgraded
    with upgraded.writer.begin() as tx:
        for table in reversed(tables.metadata.sorted_tables):
            tx.execute(table.delete())


def excessive(store: Store, cases: list[Case], least: int) -> list[str]:
    """Those that read more than four rows for each that they show, and more than so many."""
    # An instruction counts a tenth; a row of forty columns takes some fifty.
    factor = 3 if store.sqlite else 1
    found = []
    for resource, params, project in cases:
        shown, read = page(store, resource, params, project)
        if read.rows > factor * (4 * shown + least):
            found.append(f"{resource.__name__} {params} {project}: {read.rows} rows for {shown}")
    return found


def test_lists_read_what_they_show(full: Store) -> None:
    assert excessive(full, FLAT, least=120) == []


def test_lists_of_a_project_or_of_tags_are_bounded(full: Store) -> None:
    assert excessive(full, BOUNDED, least=2 * MANY // 5) == []
    assert excessive(full, OF_TAGS, least=MANY) == []


def test_a_create_costs_no_more_in_a_large_project(full: Store) -> None:
    """Once a project's objects are counted, until there is no room above that."""
    wanted: dict[type[Resource], int] = {LoadBalancer: 1, Member: 1}
    limits: dict[type[Resource], int] = {LoadBalancer: 50_000, Member: 50_000}

    def reserve(project: str) -> int:
        with counted(full) as read:
            full.transact(lambda tx: take(tx, project, wanted, limits))
        return read.rows

    first = {project: reserve(project) for project in (LARGE, SMALL)}
    further = {project: reserve(project) for project in (LARGE, SMALL)}
    assert first[LARGE] > MANY // 5, "the rows of the project are counted"
    assert max(further.values()) <= 40


def take(
    tx: sa.Connection, project: str, wanted: dict[type[Resource], int], limits: dict[type[Resource], int]
) -> None:
    refused, raised = quotas.compare(tx, project, quotas.lock(tx, project), wanted, limits)
    assert refused is None
    quotas.keep(tx, project, raised)


def test_usage_reads_what_it_counts(full: Store) -> None:
    kinds = (LoadBalancer, Listener, Pool, Member, HealthMonitor)
    with counted(full) as read, full.read() as tx:
        found = quotas.used(tx, SMALL, kinds)
    assert read.rows <= 4 * sum(found) + 120


def test_looks_of_housekeeping_read_what_they_find(full: Store) -> None:
    soon = ENDS + timedelta(seconds=100)
    owners = {f"amphora-{amphora(number)}" for number in range(10)} | {f"lb-{DEEP}", "lb-unknown"}

    def read_by(work: Callable[[sa.Connection], Any]) -> tuple[Any, int]:
        with counted(full) as read, full.read() as tx:
            found = work(tx)
        return found, read.rows

    assert read_by(lambda tx: upkeep.count_expiring(tx, ENDS))[1] <= 20
    due, rows_read = read_by(lambda tx: upkeep.count_expiring(tx, soon))
    assert due == 90 * COPIES
    assert rows_read <= 3 * due
    found, rows_read = read_by(lambda tx: upkeep.expiring(tx, soon, 20))
    assert len(found) == 20
    assert rows_read <= 8 * 20
    assert read_by(lambda tx: upkeep.purge_amphorae(tx, make.EPOCH, 500)) == (0, pytest.approx(0, abs=10))
    assert read_by(lambda tx: upkeep.purge_load_balancers(tx, make.EPOCH, 500)) == (
        0,
        pytest.approx(0, abs=10),
    )
    assert read_by(lambda tx: secret_users.watched(tx, 500)) == ([], pytest.approx(0, abs=10))
    living, rows_read = read_by(lambda tx: upkeep.living(tx, owners))
    assert len(living) == 10, "9 of 10 amphorae, and a load balancer"
    assert rows_read <= 8 * len(owners)
