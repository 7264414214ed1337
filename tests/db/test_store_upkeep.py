"""What housekeeping purges, on every engine, and what stays of it."""

from datetime import timedelta

import pytest

from hydria.housekeeping import certificates
from hydria.model.amphora import Amphora
from hydria.model.load_balancer import LoadBalancer
from hydria.settings import HouseKeepingSettings
from hydria.store import Store, rows, schema, tables, totals, upkeep
from hydria.testing import trees as make
from tests.db import store_scene as scene

LONG_AGO = make.EPOCH
BEFORE = make.EPOCH + timedelta(seconds=1)
COUNTED = tables.listener_statistics


def count(store: Store, amphora_id: str, listener_id: str, bytes_in: int, base: int = 0) -> None:
    zeros = dict.fromkeys(
        ("active_connections", *tables.COUNTERS, *(f"base_{name}" for name in tables.COUNTERS)), 0
    )
    row = {
        **zeros, "listener_id": listener_id, "amphora_id": amphora_id, "epoch": 7, "bytes_in": bytes_in,
        "base_bytes_in": base, "base_request_errors": 1,
    }  # fmt: skip
    store.transact(lambda tx: tx.execute(COUNTED.insert().values(row)))


def total(store: Store) -> tuple[int, int]:
    with store.read() as tx:
        found = totals.of_load_balancer(tx, make.BALANCER)
    return found["bytes_in"], found["request_errors"]


def counting(store: Store) -> list[str]:
    return scene.column(store, COUNTED.c.amphora_id)


def test_what_purged_amphorae_have_counted_is_one_row_of_each_listener(store: Store) -> None:
    scene.add(store, make.load_balancer(), make.listener(1), make.listener(2))
    gone = [scene.amphora(number, status="DELETED", updated_at=LONG_AGO) for number in (1, 2, 3)]
    serving = scene.amphora(4)
    scene.add_amphora(store, *gone, serving)
    for number, amphora in enumerate((*gone, serving), 1):
        for listener in (1, 2):
            count(store, amphora.id, make.identifier(make.Listener, listener), 10**number, base=2**55)
    before = total(store)
    assert store.transact(lambda tx: upkeep.purge_amphorae(tx, BEFORE, 2)) == 2
    assert total(store) == before
    assert store.transact(lambda tx: upkeep.purge_amphorae(tx, BEFORE, 2)) == 1
    assert store.transact(lambda tx: upkeep.purge_amphorae(tx, BEFORE, 2)) == 0
    assert total(store) == before
    assert counting(store) == [serving.id] * 2 + [tables.PAST] * 2
    with store.read() as tx:
        assert [amphora.id for amphora in rows.load(tx, Amphora)] == [serving.id]


def test_rows_are_purged_in_portions_the_oldest_first(store: Store) -> None:
    balancers = [
        make.load_balancer(
            number, provisioning_status="DELETED", updated_at=LONG_AGO - timedelta(seconds=number)
        )
        for number in range(1, 6)
    ]
    store.transact(lambda tx: rows.insert(tx, [*balancers, make.load_balancer(9)]))
    assert store.transact(lambda tx: upkeep.purge_load_balancers(tx, BEFORE, 3)) == 3
    assert scene.column(store, tables.load_balancers.c.id) == [
        make.identifier(LoadBalancer, number) for number in (1, 2, 9)
    ]
    assert store.transact(lambda tx: upkeep.purge_load_balancers(tx, BEFORE, 3)) == 2
    assert store.transact(lambda tx: upkeep.purge_load_balancers(tx, BEFORE, 3)) == 0


def test_two_that_purge_at_once_lose_no_count(store: Store) -> None:
    scene.add(store, make.load_balancer(), make.listener())
    gone = [scene.amphora(number, status="DELETED", updated_at=LONG_AGO) for number in range(1, 31)]
    scene.add_amphora(store, *gone)
    for amphora in gone:
        count(store, amphora.id, make.LISTENER, 5)
    purged = scene.at_once(
        3,
        lambda _: sum(store.transact(lambda tx: upkeep.purge_amphorae(tx, BEFORE, 4)) for _ in range(10)),
    )
    assert sum(purged) == 30
    assert total(store) == (150, 30)
    assert counting(store) == [tables.PAST]


def test_two_that_renew_at_once_ask_for_each_replacement_once(store: Store) -> None:
    scene.add(store, make.load_balancer())
    scene.add_amphora(store, *(scene.amphora(number, cert_expiration=LONG_AGO) for number in range(1, 9)))
    renewed = scene.at_once(3, lambda _: certificates.renew(store, HouseKeepingSettings())[0])
    assert sum(renewed) == 8
    assert scene.balancer(store).generation == 1 + 8


def test_the_upgrade_makes_one_row_of_those_that_were_left(database_url: str) -> None:
    store = Store(database_url)
    schema.upgrade(store)
    scene.add(store, make.load_balancer(), make.listener())
    scene.add_amphora(store)
    for amphora_id in ("gone-1", "gone-2", tables.PAST, scene.AMPHORA):
        count(store, amphora_id, make.LISTENER, 5)
    before = total(store)
    schema.downgrade(store, "0018")
    schema.upgrade(store)
    assert counting(store) == [scene.AMPHORA, tables.PAST]
    assert total(store) == before
    store.close()


@pytest.mark.parametrize("owners", [set(), {"amphora-", "lb-", "else", ""}])
def test_nobody_else_owns_anything(store: Store, owners: set[str]) -> None:
    scene.add(store)
    with store.read() as tx:
        assert upkeep.living(tx, owners) == set()
        assert upkeep.living(tx, {f"lb-{make.BALANCER}", *owners}) == {f"lb-{make.BALANCER}"}
