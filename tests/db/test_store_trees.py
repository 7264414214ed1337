"""What a worker reads, and what it writes down when a pass has succeeded or failed."""

from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.tree import Tree
from hydria.store import Store, amphorae, backlog, changes, leases, rows, tables, trees
from hydria.testing import trees as make
from tests.db import store_scene as scene

ONE_OF_EACH: tuple[Resource, ...] = (
    make.listener(default_pool_id=make.POOL), make.pool(), make.member(), make.monitor(),
)  # fmt: skip
NEW = [make.listener(9), make.pool(9), make.member(9)]


def balancer_of(
    generation: int = 5, applied: int = 4, status: str = "PENDING_UPDATE", **more: Any
) -> LoadBalancer:
    return make.load_balancer(
        generation=generation, applied_generation=applied, provisioning_status=status, **more
    )  # fmt: skip


def each(status: str, generation: int, items: Iterable[Resource] = ONE_OF_EACH) -> list[Any]:
    return [
        msgspec.structs.replace(item, provisioning_status=status, generation=generation) for item in items
    ]


def statuses(store: Store) -> list[str]:
    return [str(item.provisioning_status) for item in scene.tree(store).children()]


def apply(store: Store, tree: Tree, generation: int) -> None:
    store.transact(lambda tx: trees.mark_applied(tx, tree, generation))


def fail(store: Store, tree: Tree, generation: int, *, show: bool, fault: str = "why") -> None:
    store.transact(
        lambda tx: trees.mark_failed(tx, tree, generation, fault=fault, retry_at=make.EPOCH, show=show)
    )


def by_id(item: Resource) -> str:
    return item.id


# --- reading


def test_a_tree_is_all_of_its_load_balancer_and_nothing_else(store: Store) -> None:
    other = make.identifier(LoadBalancer, 2)
    scene.add(store, *make.web(3).children(), make.listener(7, provisioning_status="PENDING_DELETE"))
    scene.add(store, make.load_balancer(2), make.pool(8, load_balancer_id=other))
    found = scene.tree(store)
    mine = [*make.web(3).children(), make.listener(7, provisioning_status="PENDING_DELETE")]
    assert sorted(found.children(), key=by_id) == sorted(mine, key=by_id)
    assert scene.tree(store, other).pools == (make.pool(8, load_balancer_id=other),)
    with store.read() as tx:
        assert trees.load_tree(tx, "nobody") is None
        assert trees.load_whole(tx, "nobody") is None


def test_the_whole_has_the_amphorae_that_are_not_deleted(store: Store) -> None:
    scene.add(store, *make.web().children())
    kept = [
        scene.amphora(number, status=status) for number, status in enumerate(("ALLOCATED", "ERROR"), start=1)
    ]
    with store.read() as tx:
        assert trees.load_whole(tx, make.BALANCER) == (make.web(), (), {})
    scene.add_amphora(store, *kept, scene.amphora(3, status="DELETED"))
    with store.read() as tx:
        whole = trees.load_whole(tx, make.BALANCER)
        assert set(trees.load_amphorae(tx, make.BALANCER)) == set(kept)
    assert whole is not None
    assert set(whole[1]) == set(kept)


@pytest.mark.parametrize("times", [1, 100])
def test_a_change_while_the_tree_is_read_is_seen_whole(store: Store, times: int) -> None:
    """A listener moves to another pool, and the old one goes: no state in between has no pool to serve from."""
    scene.add(store, make.load_balancer(generation=1), make.listener(default_pool_id=make.POOL), make.pool())
    left = times

    def meanwhile(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        nonlocal left
        if left and "FROM pools" in statement:
            left -= 1
            store.transact(_move)

    sa.event.listen(store.reader, "before_cursor_execute", meanwhile)
    try:
        with store.read() as tx:
            whole = trees.load_whole(tx, make.BALANCER)
    finally:
        sa.event.remove(store.reader, "before_cursor_execute", meanwhile)
    assert whole is not None
    assert left == (0 if times == 1 else 95), "it gives up on one that changes each time"
    if times == 1:
        assert whole[0].load_balancer.generation == 2
        (listener,) = whole[0].listeners
        assert listener.default_pool_id in [pool.id for pool in whole[0].desired().pools]


def _move(tx: sa.Connection) -> None:
    balancer = changes.lock(tx, make.BALANCER)
    assert balancer is not None
    (listener,) = rows.load(tx, Listener)
    old = next(pool for pool in rows.load(tx, Pool) if pool.id == listener.default_pool_id)
    new = make.pool(balancer.generation + 1)
    rows.insert(tx, [new])
    changes.update_object(tx, listener, {"default_pool_id": new.id}, balancer.generation + 1)
    changes.delete_object(tx, old, balancer.generation + 1)
    changes.touch(tx, balancer)


# --- applied


@pytest.mark.parametrize("status", ["PENDING_CREATE", "PENDING_UPDATE", "ERROR", "ACTIVE"])
def test_what_was_applied_is_active(store: Store, status: str) -> None:
    scene.add(store, balancer_of(status=status, fault="f", attempts=3, retry_at=make.EPOCH), *each(status, 5))
    apply(store, scene.tree(store), 5)
    balancer = scene.balancer(store)
    assert statuses(store) == ["ACTIVE"] * 4
    assert (balancer.provisioning_status, balancer.applied_generation) == ("ACTIVE", 5)
    assert (balancer.fault, balancer.attempts, balancer.retry_at) == (None, 0, None)
    assert balancer.been_active
    for item in (balancer, *scene.tree(store).children()):
        assert (item.updated_at is None) == (status == "ACTIVE"), "it moves with the status, and not without"


@pytest.mark.parametrize("status", ["PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"])
def test_what_changed_during_the_pass_stays_pending(store: Store, status: str) -> None:
    """Seen by the pass or not: what is newer than what was applied is of the next one."""
    scene.add(store, balancer_of(), *each("PENDING_UPDATE", 5))
    before = scene.tree(store)
    for item in before.children():
        table = tables.table_of(item)
        store.transact(
            lambda tx, table=table: tx.execute(
                sa.update(table).values(provisioning_status=status, generation=6)
            )
        )
    store.transact(lambda tx: rows.insert(tx, each("PENDING_CREATE", 6, NEW[:1])))
    store.transact(lambda tx: changes.touch(tx, before.load_balancer))
    for tree in (before, scene.tree(store)):
        apply(store, tree, 5)
        assert sorted(statuses(store)) == sorted([status] * 4 + ["PENDING_CREATE"])
        balancer = scene.balancer(store)
        assert (balancer.provisioning_status, balancer.applied_generation, balancer.generation) == ("PENDING_UPDATE", 5, 6)  # fmt: skip
    apply(store, scene.tree(store), 6)
    assert statuses(store) == ["ACTIVE"] * (1 if status == "PENDING_DELETE" else 5)
    assert scene.balancer(store).provisioning_status == "ACTIVE"


def test_what_cannot_be_served_is_in_error_and_its_neighbors_are_active(store: Store) -> None:
    served = make.listener(2, provisioning_status="ACTIVE", generation=1)
    scene.add(store, balancer_of(attempts=2), *each("PENDING_UPDATE", 5), served)
    wrong = {make.POOL: "its CA is gone", served.id: "its certificate \0 is gone", "nobody": "x"}

    def record(faults: dict[str, str], again: Any = None) -> Tree:
        store.transact(lambda tx: trees.mark_applied(tx, scene.tree(store), 5, faults, retry_at=again))
        return scene.tree(store)

    after = record(wrong, make.EPOCH)
    found = {item.id: (str(item.provisioning_status), item.fault) for item in after.children()}
    assert found[make.POOL] == ("ERROR", "its CA is gone")
    assert found[served.id][0] == "ERROR"
    assert "is gone" in str(found[served.id][1])
    assert {status for key, (status, _) in found.items() if key not in wrong} == {"ACTIVE"}
    whole = after.load_balancer
    assert (str(whole.provisioning_status), whole.fault) == ("ACTIVE", None)
    assert (whole.attempts, whole.retry_at) == (3, make.EPOCH)
    since = {item.id: item.fault_since for item in after.children()}
    assert since[make.POOL] is not None
    again = record(wrong)
    assert {item.id: item.fault_since for item in again.children()} == since, "since it was first so"
    assert (again.load_balancer.attempts, again.load_balancer.retry_at) == (0, None)
    store.transact(lambda tx: trees.mark_unchanged(tx, again))
    assert statuses(store).count("ERROR") == 2, "who has looked at nothing knows nothing better"
    well = record({})
    assert {(item.fault, item.fault_since) for item in well.children()} == {(None, None)}
    assert set(statuses(store)) == {"ACTIVE"}


def test_a_fault_of_what_has_changed_since_is_no_fault(store: Store) -> None:
    changed, unchanged = each("PENDING_UPDATE", 6, ONE_OF_EACH[:1]), each("ACTIVE", 4, ONE_OF_EACH[1:])
    scene.add(store, balancer_of(6), *changed, *unchanged)
    faults = {make.LISTENER: "it was", make.POOL: "it is"}
    store.transact(lambda tx: trees.mark_applied(tx, scene.tree(store), 5, faults))
    assert statuses(store)[:2] == ["PENDING_UPDATE", "ERROR"]


def test_what_was_deleted_is_gone_with_its_tags_and_counters(store: Store) -> None:
    tagged = [msgspec.structs.replace(item, tags=("t",)) for item in each("PENDING_DELETE", 5)]
    stays = [msgspec.structs.replace(item, tags=("s",)) for item in NEW]
    scene.add(store, balancer_of(), *tagged, *stays)
    _count(store, make.LISTENER)
    _count(store, NEW[0].id)
    apply(store, scene.tree(store), 5)
    assert {item.id for item in scene.tree(store).children()} == {
        item.id for item in NEW if not isinstance(item, Member)
    }
    assert scene.column(store, tables.tags.c.tag) == ["s", "s", "s"]
    assert scene.column(store, tables.listener_statistics.c.listener_id) == [NEW[0].id]


def _count(store: Store, listener_id: str) -> None:
    counters = dict.fromkeys(("active_connections", *tables.COUNTERS), 1)
    bases = {f"base_{name}": 0 for name in tables.COUNTERS}
    table = tables.listener_statistics
    row = {"listener_id": listener_id, "amphora_id": "a", "epoch": 1, **counters, **bases}
    store.transact(lambda tx: tx.execute(table.insert().values(row)))


def test_listeners_lose_a_pool_that_is_gone(store: Store) -> None:
    keeps = make.listener(2, default_pool_id=make.identifier(Pool, 2))
    scene.add(
        store, balancer_of(), make.listener(default_pool_id=make.POOL), keeps, make.pool(2),
        *each("PENDING_DELETE", 5, [make.pool()]),
    )  # fmt: skip
    apply(store, scene.tree(store), 5)
    by_id = {listener.id: listener.default_pool_id for listener in scene.tree(store).listeners}
    assert by_id == {make.LISTENER: None, keeps.id: keeps.default_pool_id}


def test_other_load_balancers_are_left_alone(store: Store) -> None:
    other = make.identifier(LoadBalancer, 2)
    theirs = make.pool(2, load_balancer_id=other, provisioning_status="PENDING_UPDATE")
    scene.add(store, balancer_of(), *each("PENDING_UPDATE", 5))
    scene.add(store, make.load_balancer(2, provisioning_status="PENDING_UPDATE"), theirs)
    apply(store, scene.tree(store), 5)
    fail(store, scene.tree(store), 5, show=True)
    assert scene.tree(store, other).pools == (theirs,)
    assert scene.balancer(store, other).provisioning_status == "PENDING_UPDATE"


def test_a_load_balancer_that_is_to_go_stays_so(store: Store) -> None:
    scene.add(store, balancer_of(status="PENDING_DELETE"), *each("PENDING_UPDATE", 5))
    apply(store, scene.tree(store), 5)
    assert scene.balancer(store).provisioning_status == "PENDING_DELETE"
    fail(store, scene.tree(store), 5, show=True)
    assert scene.balancer(store).provisioning_status == "PENDING_DELETE"


# --- failed


@pytest.mark.parametrize("status", ["PENDING_CREATE", "PENDING_UPDATE", "ERROR"])
@pytest.mark.parametrize("show", [False, True])
def test_a_failed_pass_is_recorded_and_shown_or_not(store: Store, status: str, *, show: bool) -> None:
    scene.add(
        store, balancer_of(status=status, attempts=1), *each(status, 5), *each("PENDING_DELETE", 5, NEW[:1])
    )
    fail(store, scene.tree(store), 5, show=show)
    tree = scene.tree(store)
    shown = "ERROR" if show else status
    assert sorted(statuses(store)) == sorted([shown] * 4 + ["PENDING_DELETE"])
    balancer = scene.balancer(store)
    assert (balancer.provisioning_status, balancer.applied_generation) == (shown, 4)
    assert (balancer.fault, balancer.attempts, balancer.retry_at) == ("why", 2, make.EPOCH)
    moved = show and status != "ERROR"
    assert {item.updated_at is not None for item in tree.children() if item.desired} == {moved}
    assert (balancer.updated_at is not None, balancer.been_active) == (moved, False)


def test_what_is_active_or_newer_is_no_error(store: Store) -> None:
    scene.add(store, balancer_of(), *each("ACTIVE", 4), *each("PENDING_CREATE", 5, NEW[:1]))
    tree = scene.tree(store)
    store.transact(lambda tx: rows.insert(tx, each("PENDING_CREATE", 6, NEW[1:2])))
    store.transact(lambda tx: changes.touch(tx, tree.load_balancer))
    fail(store, tree, 5, show=True)
    assert sorted(statuses(store)) == sorted(["ACTIVE"] * 4 + ["ERROR", "PENDING_CREATE"])
    assert scene.balancer(store).provisioning_status == "PENDING_UPDATE"


@pytest.mark.parametrize("fault", ["\0\x1b[31m\udcff\n" * 900, "\U0001f600" * 3000, ""])
def test_a_fault_of_any_text_can_be_recorded(store: Store, fault: str) -> None:
    scene.add(store, balancer_of())
    fail(store, scene.tree(store), 5, show=True, fault=fault)
    kept = scene.balancer(store).fault
    assert kept is not None
    assert len(kept) <= 2048
    assert kept[:3] == fault[:3].replace("\0\x1b[", "\\x0")


# --- deleted


def test_a_deleted_load_balancer_keeps_its_row_alone(store: Store) -> None:
    scene.add(store, balancer_of(status="PENDING_DELETE", fault="f", tags=("t",)), *each("ACTIVE", 4))
    store.transact(lambda tx: trees.mark_deleted(tx, scene.tree(store), make.EPOCH))
    tree = scene.tree(store)
    assert list(tree.children()) == []
    balancer = tree.load_balancer
    assert (balancer.provisioning_status, balancer.operating_status) == ("DELETED", "OFFLINE")
    assert (balancer.generation, balancer.applied_generation, balancer.fault) == (5, 5, None)
    assert balancer.updated_at == make.EPOCH
    assert scene.column(store, tables.tags.c.tag) == []
    assert scene.column(store, tables.leases.c.term) == []


def test_a_large_load_balancer_is_deleted(store: Store) -> None:
    """More objects than an engine takes parameters at a time."""
    members = [
        make.member(number, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        for number in range(1, 5_003)
    ]
    scene.add(store, balancer_of(status="PENDING_DELETE"), make.pool(), *members)
    store.transact(lambda tx: trees.mark_deleted(tx, scene.tree(store), make.EPOCH))
    assert statuses(store) == []


# --- due


MOMENT = make.EPOCH.replace(tzinfo=UTC).timestamp()


def due(store: Store, ahead: float = 0.0, limit: int = 10) -> list[str]:
    with store.read() as tx:
        return [each.load_balancer_id for each in backlog.due(tx, MOMENT + ahead, limit)]


@pytest.mark.parametrize("status", ["PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE", "ERROR"])
def test_what_is_unfinished_is_due(store: Store, status: str) -> None:
    scene.add(store, balancer_of(status=status))
    assert due(store) == [make.BALANCER]


@pytest.mark.parametrize(
    "more",
    [
        {"status": "ACTIVE"}, {"status": "DELETED"}, {"applied": 5},
        {"retry_at": make.EPOCH + timedelta(microseconds=1)},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_finished_or_not_yet_to_be_tried_again_is_not(store: Store, more: dict[str, Any]) -> None:
    scene.add(store, balancer_of(**more))
    assert due(store) == []


def test_a_retry_is_due_at_its_time(store: Store) -> None:
    scene.add(store, balancer_of(status="ERROR", retry_at=make.EPOCH))
    assert due(store) == [make.BALANCER]


def test_what_somebody_has_is_not_due_until_his_lease_ends(store: Store) -> None:
    scene.add(store, balancer_of())
    lease = store.transact(lambda tx: leases.acquire(tx, make.BALANCER, "me:1", moment=MOMENT, seconds=30))
    assert lease is not None
    assert due(store, 30.0) == []
    assert due(store, 30.1) == [make.BALANCER]
    store.transact(lambda tx: leases.confirm(tx, lease, release=True))
    assert due(store) == [make.BALANCER]


def test_those_that_have_waited_longest_come_first(store: Store) -> None:
    def at(seconds: int) -> Any:
        return make.EPOCH - timedelta(seconds=seconds)

    waits = {
        1: {"status": "PENDING_CREATE", "created_at": at(20)},
        2: {"created_at": at(99), "updated_at": at(30)},
        3: {"status": "ERROR", "created_at": at(99), "updated_at": at(98), "retry_at": at(10)},
        4: {"created_at": at(99), "updated_at": at(5)},
    }
    for number, more in waits.items():
        scene.add(
            store, msgspec.structs.replace(balancer_of(**more), id=make.identifier(LoadBalancer, number))
        )
    order = [make.identifier(LoadBalancer, number) for number in (2, 1, 3, 4)]
    assert due(store) == order
    assert due(store, limit=2) == order[:2]


def test_the_generation_is_locked(store: Store) -> None:
    scene.add(store, balancer_of())

    def work(tx: sa.Connection) -> int:
        generation = trees.lock_generation(tx, make.BALANCER)
        assert scene.waits(store, lambda other: changes.lock(other, make.BALANCER))
        return generation

    assert store.transact(work) == 5


def test_amphorae_of_a_deleted_one(store: Store) -> None:
    scene.add(store, balancer_of())
    scene.add_amphora(store)
    store.transact(lambda tx: amphorae.update(tx, scene.AMPHORA, status="DELETED"))
    with store.read() as tx:
        assert trees.load_amphorae(tx, make.BALANCER) == ()
