"""What a project may have is decided as if its objects were counted each time, whatever happens between."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.quota import Quota, field_of
from hydria.model.resource import Resource
from hydria.store import Store, quotas, rows, tables
from hydria.testing import trees as make
from tests.databases import new_store

KINDS: dict[type[Resource], Any] = {Pool: make.pool, Listener: make.listener}
NUMBERS = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = new_store(tmp_path_factory.mktemp("quotas"))
    yield made
    made.close()


STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(list(KINDS)), st.integers(1, 3)),
    st.tuples(st.just("remove"), st.sampled_from(list(KINDS)), st.integers(1, 3)),
    st.tuples(st.just("limit"), st.sampled_from(list(KINDS)), st.one_of(st.just(-1), st.integers(0, 8))),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
def test_bounds_decide_as_counting_does(store: Store, steps: list[tuple[str, type[Resource], int]]) -> None:
    project = f"p{next(NUMBERS)}"
    balancer = make.load_balancer(next(NUMBERS), project_id=project)
    store.transact(lambda tx: rows.insert(tx, [balancer]))
    limits: dict[type[Resource], int] = dict.fromkeys(KINDS, 3)
    present: dict[type[Resource], list[str]] = {kind: [] for kind in KINDS}
    save(store, project, limits)
    for action, kind, number in steps:
        if action == "limit":
            limits[kind] = number
            save(store, project, limits)
        elif action == "remove":
            for _ in range(min(number, len(present[kind]))):
                remove(store, kind, present[kind].pop())
        else:
            fits = limits[kind] == -1 or len(present[kind]) + number <= limits[kind]
            items = [
                KINDS[kind](next(NUMBERS), project_id=project, load_balancer_id=balancer.id, **port(kind))
                for _ in range(number)
            ]
            assert add(store, project, items, limits[kind]) is fits
            if fits:
                present[kind] += [item.id for item in items]


def port(kind: type[Resource]) -> dict[str, Any]:
    return {"protocol_port": next(NUMBERS) % 65_535 + 1} if kind is Listener else {}


def save(store: Store, project: str, limits: dict[type[Resource], int]) -> None:
    quota = Quota(project_id=project, **{field_of(kind): limit for kind, limit in limits.items()})
    store.transact(lambda tx: quotas.save(tx, quota))


def remove(store: Store, kind: type[Resource], identifier: str) -> None:
    table = tables.table_of(kind)
    going = table.update().where(table.c.id == identifier).values(provisioning_status="PENDING_DELETE")
    store.transact(lambda tx: tx.execute(going))


def add(store: Store, project: str, items: list[Resource], limit: int) -> bool:
    """As a request does: without a limit it does not look."""
    kind = type(items[0])

    def work(tx: Any) -> bool:
        if limit != -1:
            known = quotas.lock(tx, project)
            refused, raised = quotas.compare(tx, project, known, {kind: len(items)}, {kind: limit})
            if refused is not None:
                return False
            quotas.keep(tx, project, raised)
        rows.insert(tx, items)
        return True

    return store.transact(work)
