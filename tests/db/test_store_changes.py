"""What a change of the desired state does to the rows around it, whatever their status was."""

from typing import Any

import pytest
import sqlalchemy as sa

from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.store import Store, changes, tables
from hydria.testing import trees as make
from tests.db import store_scene as scene

TOUCHED = {
    "ACTIVE": "PENDING_UPDATE",
    "ERROR": "PENDING_UPDATE",
    "PENDING_UPDATE": "PENDING_UPDATE",
    "PENDING_CREATE": "PENDING_CREATE",
    "PENDING_DELETE": "PENDING_DELETE",
    "DELETED": "DELETED",
}
STATUSES = pytest.mark.parametrize("status", TOUCHED)


def touch(store: Store, **more: Any) -> int:
    def work(tx: sa.Connection) -> int:
        balancer = changes.lock(tx, make.BALANCER)
        assert balancer is not None
        return changes.touch(tx, balancer, **more)

    return store.transact(work)


def test_every_status_is_thought_of() -> None:
    assert set(TOUCHED) == {str(status) for status in ProvisioningStatus}


@STATUSES
def test_a_touched_load_balancer_is_due(store: Store, status: str) -> None:
    scene.add(
        store,
        make.load_balancer(
            provisioning_status=status, generation=7, applied_generation=7, retry_at=make.EPOCH, fault="f", attempts=2
        ),
    )  # fmt: skip
    assert touch(store) == 8
    after = scene.balancer(store)
    assert (after.generation, after.applied_generation, after.retry_at) == (8, 7, None)
    assert after.provisioning_status == TOUCHED[status]
    # Until the next pass says otherwise.
    assert (after.fault, after.attempts) == ("f", 2)
    assert after.updated_at is not None


def test_a_touch_may_change_more(store: Store) -> None:
    scene.add(store)
    touch(
        store,
        provisioning_status=ProvisioningStatus.PENDING_DELETE,
        name="n",
        vip_sg_ids=["a"],
        tags=["not stored"],
    )
    after = scene.balancer(store)
    assert (after.provisioning_status, after.name, after.vip_sg_ids) == ("PENDING_DELETE", "n", ["a"])


def test_no_touch_is_lost(store: Store) -> None:
    scene.add(store, make.load_balancer(generation=3))
    seen = scene.at_once(20, lambda _: touch(store))
    assert sorted(seen) == list(range(4, 24))
    assert scene.balancer(store).generation == 23


@STATUSES
def test_touched_objects(store: Store, status: str) -> None:
    pools = [make.pool(number, provisioning_status=status) for number in (1, 2)]
    scene.add(store, *pools)
    store.transact(lambda tx: changes.touch_objects(tx, Pool, [pools[0].id], 9))
    store.transact(lambda tx: changes.touch_objects(tx, Pool, [], 9))
    after = scene.get(store, pools[0])
    assert after.provisioning_status == TOUCHED[status]
    # What is new or on its way out is in a generation of its own.
    assert after.generation == (9 if TOUCHED[status] == "PENDING_UPDATE" else 1)
    assert scene.get(store, pools[1]) == pools[1]


@STATUSES
def test_an_updated_object(store: Store, status: str) -> None:
    listener = make.listener(provisioning_status=status)
    scene.add(store, listener)
    given = {
        "name": "n",
        "allowed_cidrs": ["192.0.2.0/24"],
        "insert_headers": {"X-Forwarded-For": "true"},
        "tags": ["t"],
    }
    written = store.transact(lambda tx: changes.update_object(tx, listener, given, 9))
    after = scene.get(store, listener)
    assert (after.provisioning_status, after.generation) == (TOUCHED[status], 9)
    assert (after.name, after.allowed_cidrs, after.insert_headers) == (
        "n",
        ["192.0.2.0/24"],
        {"X-Forwarded-For": "true"},
    )
    for name in ("name", "allowed_cidrs", "provisioning_status", "generation", "updated_at"):
        assert written[name] == getattr(after, name)
    assert scene.column(store, tables.listeners.c.live_key) == [f"{make.BALANCER}:TCP:80"]


def test_null_clears(store: Store) -> None:
    listener = make.listener(allowed_cidrs=["192.0.2.0/24"], default_pool_id=make.POOL)
    scene.add(store, listener)
    store.transact(
        lambda tx: changes.update_object(tx, listener, {"allowed_cidrs": None, "default_pool_id": None}, 2)
    )
    assert (scene.get(store, listener).allowed_cidrs, scene.get(store, listener).default_pool_id) == (
        None,
        None,
    )


@STATUSES
@pytest.mark.parametrize(
    "item", [make.listener(), make.pool(), make.member(), make.monitor()], ids=lambda item: item.table
)
def test_a_deleted_object_waits_for_its_end(store: Store, item: Resource, status: str) -> None:
    kept = {} if isinstance(item, Pool) else {"pool": make.pool()}
    scene.add(store, item, *kept.values())
    table = tables.table_of(item)
    store.transact(lambda tx: tx.execute(sa.update(table).values(provisioning_status=status)))
    store.transact(lambda tx: changes.delete_object(tx, item, 9))
    after = scene.get(store, item)
    assert (after.provisioning_status, after.generation) == ("PENDING_DELETE", 9)
    if "live_key" in table.c:
        with store.read() as tx:
            assert tx.execute(sa.select(table.c.live_key)).scalar() is None


def test_tags_are_replaced(store: Store) -> None:
    scene.add(store, make.pool(tags=("a", "b")), make.member(tags=("a",)))
    store.transact(lambda tx: changes.set_tags(tx, make.POOL, ["c", "b", "c"]))
    mine = tables.tags.c.resource_id == make.POOL
    assert scene.column(store, tables.tags.c.tag, mine) == ["b", "c"]
    store.transact(lambda tx: changes.set_tags(tx, make.POOL, []))
    assert scene.column(store, tables.tags.c.tag) == ["a"]


def test_a_change_that_fails_changes_nothing(store: Store) -> None:
    scene.add(store, make.pool())

    def work(tx: sa.Connection) -> None:
        balancer = changes.lock(tx, make.BALANCER)
        assert balancer is not None
        changes.touch(tx, balancer)
        changes.delete_object(tx, make.pool(), 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(work)
    assert scene.tree(store) == make.tree(make.pool())


def test_there_is_nothing_to_lock(store: Store) -> None:
    assert store.transact(lambda tx: changes.lock(tx, "nobody")) is None
