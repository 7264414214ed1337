"""What statements of lists, creates and housekeeping read, with a thousand load balancers and with many.

MariaDB, without the API: the database alone. ``N=100000`` chooses how many, else 10,000. The ratio (x) is to
the same with a thousand, the median of rounds in turns. Rows are those that the server says it has read.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from tests import services
from tests.db import many_rows
from tests.db.many_rows import BOUNDED, ENDS, FLAT, LARGE, OF_TAGS, SMALL
from tests.db.rows_read import counted

from bench.measure import report
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.resource import Resource
from hydria.store import Store, quotas, schema, secret_users, upkeep
from hydria.testing import trees as make

FEW, ROUNDS, TIMES = 1000, 5, 5
# Rows read for each that is shown, and times the cost in a small project.
GOAL, FLAT_GOAL = 4, 1.2

Work = Callable[[Store], Any]


def main() -> None:
    many = int(os.environ.get("N", "10000"))
    with ExitStack() as stack:
        server = stack.enter_context(services.mariadb(durable=True))
        stores = []
        for size in (FEW, many):
            store = Store(stack.enter_context(services.fresh_database(server)))
            stack.callback(store.close)
            schema.upgrade(store)
            many_rows.load(store, size)
            stores.append(store)
        few, full = stores
        goals = (
            (FLAT, f"{GOAL} rows each"),
            (BOUNDED, "the project's"),
            (OF_TAGS, "some of the rarest tag's"),
        )
        for cases, goal in goals:
            for case in cases:
                lists(few, full, case, goal)
        creates(full)
        looks(few, full)


def lists(few: Store, full: Store, case: many_rows.Case, goal: str) -> None:
    """One list: rows read for those shown, milliseconds of the statement."""
    resource, params, project = case
    shown, read = many_rows.page(full, resource, params, project)
    asked = " ".join(f"{name}={value}" for name, value in params.items() if name != "marker")
    marker = " deep" if "marker" in params else ""
    name = f"{project + ': ' if project else ''}{resource.plural} {asked}{marker}"
    took, ratio = beside(
        few, full, lambda store: many_rows.page(store, resource, params, project, count=False)
    )
    report(name, f"{read.rows} rows for {shown}, {took:.2f} ms (x {ratio:.2f})", goal)


def creates(full: Store) -> None:
    """What a new member is held against, in a project with a fifth of all load balancers and a small one."""
    limits: dict[type[Resource], int] = {Member: 10**6}
    figures = {}
    for project in (SMALL, LARGE):

        def reserve(store: Store, project: str = project) -> None:
            store.transact(lambda tx: take(tx, project, {Member: 1}, limits))

        reserve(full)  # counted
        with counted(full) as read:
            reserve(full)
        figures[project] = read.rows, len(read.statements), took(full, reserve)
    small, large = figures[SMALL], figures[LARGE]
    said = f"{large[0]} rows, {large[1]} SQL, {large[2]:.2f} ms (x {large[2] / small[2]:.2f})"
    report("quota of a new member, large project beside a small one", said, f"ratio {FLAT_GOAL}")


def take(
    tx: sa.Connection,
    project: str,
    wanted: dict[type[Resource], int],
    limits: dict[type[Resource], int],
) -> None:
    refused, raised = quotas.compare(tx, project, quotas.lock(tx, project), wanted, limits)
    assert refused is None
    quotas.keep(tx, project, raised)


def looks(few: Store, full: Store) -> None:
    """What housekeeping asks at each pass, with nothing to do."""
    owners = {f"amphora-{many_rows.amphora(number)}" for number in range(1000)}
    owners |= {f"lb-{make.identifier(LoadBalancer, number)}" for number in range(1000)}
    past = make.EPOCH - timedelta(days=1)
    asked: dict[str, Callable[[sa.Connection], object]] = {
        "certificates that end, none": lambda tx: upkeep.count_expiring(tx, ENDS),
        "ten certificates that end": lambda tx: upkeep.expiring(tx, ENDS + timedelta(days=1), 10),
        "load balancers to purge, none": lambda tx: upkeep.purge_load_balancers(tx, past, 500),
        "amphorae to purge, none": lambda tx: upkeep.purge_amphorae(tx, past, 500),
        "secrets to compare, none": lambda tx: secret_users.watched(tx, 500),
        "owners of 2,000 instances and ports": lambda tx: upkeep.living(tx, owners),
    }
    for name, look in asked.items():

        def work(store: Store, look: Callable[[sa.Connection], object] = look) -> None:
            with store.read() as tx:
                look(tx)

        with counted(full) as read:
            work(full)
        milliseconds, ratio = beside(few, full, work)
        report(f"housekeeping: {name}", f"{read.rows} rows, {milliseconds:.2f} ms (x {ratio:.2f})", "5 ms")


def beside(few: Store, full: Store, work: Work) -> tuple[float, float]:
    """Milliseconds with many, and how many times that with few."""
    rounds = [(took(few, work), took(full, work)) for _ in range(ROUNDS)]
    return statistics.median(large for _, large in rounds), statistics.median(
        large / small for small, large in rounds
    )


def took(store: Store, work: Work) -> float:
    work(store)
    started = time.perf_counter()
    for _ in range(TIMES):
        work(store)
    return (time.perf_counter() - started) / TIMES * 1000
