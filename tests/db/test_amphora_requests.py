"""What operators ask of amphorae, and read of them, on every database."""

import uuid
from typing import Any

import pytest

from hydria.api import views
from hydria.api.writing import amphora as asking
from hydria.model.amphora import Amphora
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.store import Store, amphorae, listing, rows, tables, totals
from hydria.store.listing import ListQuery, SortKey, last_keys
from tests.unit.api_writing import Api, everything


@pytest.fixture
def api(store: Store) -> Api:
    return Api(store)


def add(api: Api, balancer_id: str, **more: Any) -> str:
    made = Amphora(
        id=str(uuid.uuid4()), load_balancer_id=balancer_id, role=AmphoraRole.STANDALONE,
        created_at=rows.now(), applied_generation=1, **{"status": AmphoraStatus.ALLOCATED, **more},
    )  # fmt: skip
    api.store.transact(lambda tx: amphorae.add(tx, made))
    return made.id


def wanted(api: Api, amphora_id: str) -> bool:
    with api.store.read() as tx:
        found = rows.load_one(tx, Amphora, amphora_id)
    assert found is not None
    return found.failover_requested


def test_failover_of_one_and_of_all(api: Api) -> None:
    balancer, other = everything(api)["load_balancers"], everything(api)["load_balancers"]
    one, two, foreign = add(api, balancer), add(api, balancer), add(api, other)
    going = add(api, balancer, status=AmphoraStatus.PENDING_DELETE)
    before = api.get(LoadBalancer, balancer).generation
    asking.failover(api.call, one)
    assert [wanted(api, each) for each in (one, two, foreign)] == [True, False, False]
    asking.failover_load_balancer(api.call, balancer)
    assert [wanted(api, each) for each in (one, two, foreign, going)] == [True, True, False, False]
    assert api.get(LoadBalancer, balancer).generation == before + 2
    assert api.get(LoadBalancer, balancer).provisioning_status == "PENDING_UPDATE"
    assert api.get(LoadBalancer, other).provisioning_status == "ACTIVE"


def test_lists_go_through_the_load_balancer_to_the_project(api: Api) -> None:
    balancer = everything(api)["load_balancers"]
    first, second = add(api, balancer, compute_id="b"), add(api, balancer, compute_id="a", vrrp_id=3)
    add(api, balancer, status=AmphoraStatus.DELETED)
    fields = views.view(Amphora).fields

    def ids(**query: Any) -> list[str]:
        order = (*query.pop("order", ()), *last_keys(Amphora))
        with api.store.read() as tx:
            return [row.id for row in listing.page(tx, Amphora, fields, ListQuery(order=order, **query))]

    assert ids(through="p1") == [first, second]
    assert ids(through="p2") == []
    assert ids(through="p1", marker=first) == [second]
    assert ids(filters={"cert_busy": False, "vrrp_id": 3}) == [second]
    assert ids(order=(SortKey("compute_id"),)) == [second, first]
    assert ids(order=(SortKey("vrrp_id"),)) == [first, second]


def test_statistics_of_an_amphora(api: Api) -> None:
    ids = everything(api)
    made = add(api, ids["load_balancers"])
    listener = api.get(Listener, ids["listeners"])
    counted = dict.fromkeys(("bytes_in", "bytes_out", "total_connections", "request_errors"), 2**40)
    row = {
        "listener_id": listener.id, "amphora_id": made, "epoch": 1, "active_connections": 1,
        **counted, **{f"base_{name}": 1 for name in counted},
    }  # fmt: skip
    api.store.transact(lambda tx: tx.execute(tables.listener_statistics.insert().values(row)))
    with api.store.read() as tx:
        assert totals.of_amphora(tx, made) == [
            {
                "id": made, "listener_id": listener.id, "loadbalancer_id": ids["load_balancers"],
                "active_connections": 1, **dict.fromkeys(counted, 2**40 + 1),
            }
        ]  # fmt: skip
        assert totals.of_amphora(tx, ids["load_balancers"]) == []
