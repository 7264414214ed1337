"""What the tests of the store put into it, and look up."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Resource
from hydria.model.tree import Tree
from hydria.store import Store, amphorae, changes, rows, trees
from hydria.testing import trees as make

T = TypeVar("T")
AMPHORA = "a0000000-0000-4000-8000-000000000001"


def add(store: Store, *items: Resource) -> None:
    """Insert objects in one transaction, each below what it refers to; the first load balancer is made."""
    tree = make.tree(*items)

    def work(tx: sa.Connection) -> None:
        changes.add_load_balancer(tx, tree.load_balancer)
        above, below = (tree.listeners, tree.pools), (tree.members, tree.health_monitors, tree.l7policies)
        for group in (*above, *below, tree.l7rules, tree.limit_policies, tree.limit_rules):
            rows.insert(tx, group)

    store.transact(work)


def amphora(number: int = 1, /, **changed: Any) -> Amphora:
    given = {
        "id": f"a0000000-0000-4000-8000-{number:012x}", "load_balancer_id": make.BALANCER, "status": "ALLOCATED",
        "role": "STANDALONE", "created_at": make.EPOCH, **changed,
    }  # fmt: skip
    return Amphora(**given)


def add_amphora(store: Store, *found: Amphora) -> None:
    for one in found or (amphora(),):
        store.transact(lambda tx, one=one: amphorae.add(tx, one))


def get(store: Store, item: Resource | Amphora) -> Any:
    """The object's present row."""
    with store.read() as tx:
        return rows.load_one(tx, type(item), item.id)


def tree(store: Store, identifier: str = make.BALANCER) -> Tree:
    with store.read() as tx:
        found = trees.load_tree(tx, identifier)
    assert found is not None
    return found


def balancer(store: Store, identifier: str = make.BALANCER) -> LoadBalancer:
    return tree(store, identifier).load_balancer


def column(store: Store, column: sa.Column[T], *where: sa.ColumnElement[bool]) -> list[T]:
    """The values of a column, sorted."""
    with store.read() as tx:
        return sorted(tx.execute(sa.select(column).where(*where)).scalars())  # type: ignore[type-var]


def at_once(count: int, work: Callable[[int], T]) -> Sequence[T]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def waits(store: Store, work: Callable[[sa.Connection], object]) -> bool:
    """Whether somebody else's transaction would have to wait for one that is open now."""
    engine = sa.create_engine(
        store.url, poolclass=sa.NullPool, **({} if store.sqlite else {"isolation_level": "READ COMMITTED"})
    )
    impatient = {
        "sqlite": ("PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE"),
        "mysql": ("SET innodb_lock_wait_timeout = 0",),
        "postgresql": ("SET lock_timeout = '50ms'",),
    }
    try:
        with engine.connect() as other:
            for statement in impatient[engine.dialect.name]:
                other.exec_driver_sql(statement)
            work(other)
    except sa.exc.OperationalError:
        return True
    return False
