"""One worker at a time: on every engine, however many ask, and whatever has become of the last one."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.model.errors import Busy
from hydria.model.load_balancer import LoadBalancer
from hydria.store import Store, backlog, changes, leases, tables, trees
from hydria.store.backlog import Due
from hydria.store.leases import Lease
from hydria.testing import trees as make
from tests.db import store_scene as scene


def pending(number: int = 1, **changed: Any) -> LoadBalancer:
    """A load balancer with work to do."""
    given = {"provisioning_status": "PENDING_UPDATE", "generation": 5, "applied_generation": 4}
    return make.load_balancer(number, **{**given, **changed})


def add(store: Store, *balancers: LoadBalancer) -> None:
    for each in balancers or (pending(),):
        scene.add(store, each)


def acquire(
    store: Store, owner: str, moment: float = 100.0, balancer_id: str = make.BALANCER
) -> Lease | None:
    return store.transact(lambda tx: leases.acquire(tx, balancer_id, owner, moment=moment, seconds=30))


def held(store: Store, owner: str, moment: float = 100.0) -> Lease:
    lease = acquire(store, owner, moment)
    assert lease is not None
    return lease


def renew(store: Store, lease: Lease, moment: float) -> bool:
    return store.transact(lambda tx: leases.renew(tx, lease, moment=moment, seconds=30))


def confirm(store: Store, lease: Lease, *, release: bool = False, name: str | None = None) -> None:
    def work(tx: sa.Connection) -> None:
        balancers = tables.load_balancers
        tx.execute(sa.update(balancers).where(balancers.c.id == make.BALANCER).values(name=name or "written"))
        leases.confirm(tx, lease, release=release)

    store.transact(work)


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    add(store)
    won = [lease for lease in scene.at_once(20, lambda number: acquire(store, f"host:{number}")) if lease]
    assert len(won) == 1
    confirm(store, won[0])


def test_of_many_at_once_one_gets_an_expired_one(store: Store) -> None:
    add(store)
    old = held(store, "old:1", moment=0.0)
    won = [lease for lease in scene.at_once(10, lambda number: acquire(store, f"host:{number}")) if lease]
    assert len(won) == 1
    assert not renew(store, old, 100.0)


def test_it_is_free_after_its_end_or_its_release(store: Store) -> None:
    add(store)
    first = held(store, "first:1", moment=100.0)
    assert acquire(store, "second:1", moment=130.0) is None
    assert acquire(store, "first:1", moment=129.0) is None, "its own owner has it already, in another thread"
    confirm(store, first, release=True)
    second = held(store, "second:1", moment=101.0)
    assert second.term > first.term
    held(store, "third:1", moment=131.1)


def test_each_lease_has_a_later_term(store: Store) -> None:
    add(store)
    terms = []
    for moment in (100.0, 200.0, 300.0):  # after one that ran out, too
        lease = held(store, "me:1", moment)
        assert acquire(store, "you:2", moment) is None, "nobody's attempt is a term"
        terms.append(lease.term)
    confirm(store, lease, release=True)
    terms.append(held(store, "you:2", 301.0).term)
    assert terms == [1, 2, 3, 4]


def test_a_term_that_an_amphora_has_met_is_surpassed(store: Store) -> None:
    add(store)
    first = held(store, "me:1")
    store.transact(lambda tx: leases.surpass(tx, first, 41))
    second = held(store, "you:2")
    assert second.term == 42
    with pytest.raises(Busy):
        store.transact(lambda tx: leases.surpass(tx, first, 99))
    confirm(store, second)
    store.transact(lambda tx: leases.surpass(tx, second, 7))
    assert held(store, "me:1").term == 43, "it never goes back"


def test_renewal_puts_off_the_end(store: Store) -> None:
    add(store)
    lease = held(store, "first:1", moment=100.0)
    assert renew(store, lease, 120.0)
    assert acquire(store, "second:1", moment=149.0) is None
    stolen = held(store, "second:1", moment=151.0)
    assert not renew(store, lease, 152.0)
    assert renew(store, stolen, 152.0)


@pytest.mark.parametrize("release", [False, True])
def test_who_lost_it_writes_nothing(store: Store, *, release: bool) -> None:
    add(store)
    stale = held(store, "same:1", moment=0.0)
    fresh = held(store, "same:1", moment=100.0)
    with pytest.raises(Busy, match=f"The lease of same:1 on load balancer {make.BALANCER} has run out."):
        confirm(store, stale, release=release)
    assert scene.balancer(store).name == "lb-1"
    confirm(store, fresh)
    assert scene.balancer(store).name == "written"


def test_a_released_lease_confirms_nothing_more(store: Store) -> None:
    add(store)
    lease = held(store, "first:1")
    confirm(store, lease, release=True)
    with pytest.raises(Busy):
        confirm(store, lease, name="too late")
    assert not renew(store, lease, 100.0)
    assert scene.balancer(store).name == "written"


def test_a_confirmed_lease_is_not_taken_before_the_commit(store: Store) -> None:
    """A thief, whose clock says that it has run out, waits for the transaction, and then finds it renewed."""
    add(store)
    lease = held(store, "first:1", moment=0.0)

    def work(tx: sa.Connection) -> None:
        leases.confirm(tx, lease)
        leases.renew(tx, lease, moment=100.0, seconds=30)
        assert scene.waits(
            store, lambda other: leases.acquire(other, make.BALANCER, "thief:1", moment=100.0, seconds=30)
        )

    store.transact(work)
    assert acquire(store, "thief:1", moment=100.0) is None


def test_leases_of_the_dead_are_freed(store: Store) -> None:
    add(store, *(pending(number) for number in (1, 2, 3)))
    ids = [make.identifier(make.LoadBalancer, number) for number in (1, 2, 3)]
    for balancer_id, owner in zip(ids, ["dead:1", "dead:2", "living:3"], strict=True):
        assert acquire(store, owner, balancer_id=balancer_id)
    asked: list[str] = []

    def dead(owner: str) -> bool:
        asked.append(owner)
        return owner.startswith("dead")

    assert store.transact(lambda tx: leases.release_where(tx, dead)) == 2
    assert sorted(asked) == ["dead:1", "dead:2", "living:3"]
    assert scene.column(store, tables.leases.c.owner, tables.leases.c.owner.is_not(None)) == ["living:3"]
    assert store.transact(lambda tx: leases.release_where(tx, dead)) == 0
    assert acquire(store, "other:1", balancer_id=ids[0]) is not None
    assert acquire(store, "other:1", balancer_id=ids[2]) is None


def test_what_is_deleted_or_never_was_has_no_lease(store: Store) -> None:
    add(store)
    assert acquire(store, "first:1", balancer_id="nobody") is None
    store.transact(lambda tx: trees.mark_deleted(tx, make.tree(), make.EPOCH))
    assert acquire(store, "first:1") is None


# --- what there is to do

NOW = 1_000_000.0
LATER = backlog.times(NOW + 20, 0)["when"]
BEFORE = backlog.times(NOW - 1, 0)["when"]


@pytest.mark.parametrize(
    ("changed", "woken", "found"),
    [
        ({}, True, True),
        ({"provisioning_status": "ERROR"}, True, True),
        ({"provisioning_status": "PENDING_DELETE"}, True, True),
        ({"applied_generation": 5}, False, False),
        ({"provisioning_status": "ACTIVE", "applied_generation": 5}, False, False),
        ({"retry_at": LATER}, False, False),
        ({"retry_at": BEFORE}, True, True),
        ({"look_at": LATER}, True, False),
        ({"look_at": LATER, "retry_at": LATER}, False, False),
        ({"look_at": BEFORE}, True, True),
        ({"provisioning_status": "ACTIVE", "applied_generation": 5, "look_at": LATER}, True, False),
        ({"provisioning_status": "ACTIVE", "applied_generation": 5, "look_at": BEFORE}, True, True),
        ({"provisioning_status": "ACTIVE", "applied_generation": 5, "retry_at": BEFORE}, True, True),
        ({"provisioning_status": "ACTIVE", "applied_generation": 5, "retry_at": LATER}, False, False),
        # By a clock that was put back since: it counts as over.
        ({"retry_at": LATER + timedelta(seconds=100)}, True, True),
    ],
    ids=str,
)
def test_a_lease_is_taken_only_where_there_is_work(
    store: Store, changed: dict[str, Any], *, woken: bool, found: bool
) -> None:
    """A wake-up may come before the next look, and not before the next try; a look before neither."""
    add(store, pending(**changed))
    with store.read() as tx:
        assert bool(backlog.due(tx, NOW, 10, 60.0)) is found
    lease = store.transact(
        lambda tx: leases.acquire(tx, make.BALANCER, "me:1", moment=NOW, seconds=30, horizon=60.0)
    )
    assert (lease is not None) is woken


# --- claims


def due(store: Store) -> list[Due]:
    with store.read() as tx:
        return backlog.due(tx, NOW, 100)


def claim(store: Store, found: list[Due], owner: str, most: int = 100) -> tuple[list[Lease], list[Due]]:
    taken, left = store.transact(lambda tx: leases.claim(tx, found, owner, most, moment=NOW, seconds=30))
    return taken, list(left)


def test_several_are_claimed_at_once_each_with_its_next_term(store: Store) -> None:
    add(store, *(pending(number) for number in range(1, 6)))
    found = due(store)
    taken, left = claim(store, found, "me:1", 3)
    assert [each.load_balancer_id for each in taken] == [each.load_balancer_id for each in found[:3]]
    assert (left, {each.term for each in taken}) == (found[3:], {1})
    assert due(store) == found[3:]
    for lease in taken:
        store.transact(lambda tx, lease=lease: leases.confirm(tx, lease, release=True))
    assert {each.term for each in due(store)} == {0, 1}


def test_what_somebody_has_worked_on_since_it_was_found_is_not_claimed(store: Store) -> None:
    """Also when it is free again: whoever had it has done what there was."""
    add(store, *(pending(number) for number in (1, 2, 3)))
    found = due(store)
    first, second, third = (each.load_balancer_id for each in found)
    lease = acquire(store, "you:2", NOW, first)
    assert lease is not None
    store.transact(lambda tx: leases.confirm(tx, lease, release=True))
    assert acquire(store, "you:2", NOW, second) is not None
    taken, left = claim(store, found, "me:1", 2)
    assert ([each.load_balancer_id for each in taken], left) == ([third], [])
    store.transact(lambda tx: tx.execute(sa.delete(tables.leases)))
    assert claim(store, found, "me:1") == ([], [])


def test_whoever_claims_at_the_same_time_gets_something_else(store: Store) -> None:
    add(store, *(pending(number) for number in range(1, 31)))
    found = due(store)
    taken = scene.at_once(6, lambda number: claim(store, found, f"host:{number}", 7)[0])
    claimed = [each.load_balancer_id for some in taken for each in some]
    assert len(claimed) == len(set(claimed)) == 30


def test_a_claim_waits_for_nobody(store: Store) -> None:
    """Neither for another claim nor for a request; SQLite has one writer at a time."""
    add(store, *(pending(number) for number in (1, 2)))
    found = due(store)

    def work(tx: sa.Connection) -> None:
        assert leases.claim(tx, found[:1], "me:1", 1, moment=NOW, seconds=30)[0]
        assert changes.lock(tx, found[1].load_balancer_id) is not None
        if not store.sqlite:
            other = claim(store, found, "you:2")[0]
            assert [each.load_balancer_id for each in other] == [found[1].load_balancer_id]

    store.transact(work)
