"""The operators' API of amphorae over HTTP, and failover."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.load_balancer import LoadBalancer
from hydria.model.statuses import AmphoraRole, AmphoraStatus
from hydria.store import amphorae, rows, tables
from hydria.testing import trees as make
from tests.databases import new_store
from tests.unit.api_reading import Api

URL = "/v2/octavia/amphorae"
KEYS = {
    "id", "loadbalancer_id", "compute_id", "lb_network_ip", "vrrp_ip", "ha_ip", "vrrp_port_id", "ha_port_id",
    "cert_expiration", "cert_busy", "role", "status", "vrrp_interface", "vrrp_id", "vrrp_priority",
    "cached_zone", "created_at", "updated_at", "image_id", "compute_flavor",
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store = new_store(tmp_path)
    api = Api(store)
    for number, project in enumerate(("p1", "p2"), start=1):
        balancer = make.load_balancer(number, project_id=project, generation=3, applied_generation=3)
        api.insert(balancer)
    yield api
    store.close()


def add(api: Api, balancer: int = 1, status: AmphoraStatus = AmphoraStatus.ALLOCATED, **more: Any) -> str:
    made = Amphora(
        id=str(uuid.uuid4()), load_balancer_id=make.load_balancer(balancer).id, status=status,
        role=AmphoraRole.STANDALONE, applied_generation=3, created_at=rows.now(), **more,
    )  # fmt: skip
    api.store.transact(lambda tx: amphorae.add(tx, made))
    return made.id


def find(api: Api, amphora_id: str) -> Amphora:
    with api.store.read() as tx:
        found = rows.load_one(tx, Amphora, amphora_id)
    assert found is not None
    return found


def balancer(api: Api, number: int = 1) -> LoadBalancer:
    with api.store.read() as tx:
        found = rows.load_one(tx, LoadBalancer, make.load_balancer(number).id)
    assert found is not None
    return found


def change(api: Api, **values: Any) -> None:
    api.store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(values)))


def put(api: Api, what: str, status: int = 202) -> str:
    answer = api.ask("PUT", what)
    assert answer.status_code == status, answer.text
    return "" if status == 202 and not answer.text else str(answer.json["faultstring"])


def test_an_amphora_is_shown_with_the_keys_of_octavia(api: Api) -> None:
    made = add(api, lb_network_ip="192.0.2.1", cert_expiration=rows.now())
    shown = api.get(f"{URL}/{made}")["amphora"]
    assert set(shown) == KEYS
    assert (shown["id"], shown["status"], shown["role"]) == (made, "ALLOCATED", "STANDALONE")
    assert shown["cert_busy"] is False
    assert shown["compute_flavor"] is shown["image_id"] is shown["vrrp_id"] is None
    assert len(shown["cert_expiration"]) == len("2026-01-02T03:04:05")
    assert api.get(f"{URL}/{made}?fields=id")["amphora"] == {"id": made}
    assert api.get(f"/load-balancer/v2.0/octavia/amphorae/{made}")["amphora"] == shown


def test_lists_are_filtered_sorted_and_paged(api: Api) -> None:
    first = add(api, compute_id="c1")
    second = add(api, 2, compute_id="c2", lb_network_ip="192.0.2.2")
    third = add(api, 2, AmphoraStatus.ERROR, compute_id="c3")
    add(api, 2, AmphoraStatus.DELETED)

    def ids(query: str = "") -> list[str]:
        return [each["id"] for each in api.get(f"{URL}?{query}")["amphorae"]]

    assert ids() == [first, second, third]
    assert ids("sort=compute_id:desc") == [third, second, first]
    assert ids("status=ERROR") == [third]
    assert ids("compute_id=c2") == ids("lb_network_ip=192.0.2.2") == [second]
    assert ids(f"loadbalancer_id={make.load_balancer(1).id}") == [first]
    assert ids("project_id=p2") == ids("tenant_id=p2") == [second, third]
    assert ids("project_id=p2&status=ALLOCATED") == [second]
    assert ids("cert_busy=true") == []
    page = api.get(f"{URL}?project_id=p2&limit=1")
    assert [each["id"] for each in page["amphorae"]] == [second]
    link = page["amphorae_links"][0]["href"]
    assert "project_id=p2" in link
    assert ids(link.partition("?")[2]) == [third]
    for query in ("x=1", "applied_generation=3", "failover_requested=0", "sort=project_id"):
        assert api.ask("GET", f"{URL}?{query}").status_code == 400


def test_what_is_not_there(api: Api) -> None:
    gone, unknown = add(api, status=AmphoraStatus.DELETED), str(uuid.uuid4())
    for identifier in (gone, unknown, "x"):
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("GET", "/stats"), ("PUT", "/config"), ("PUT", "/failover")
        ):  # fmt: skip
            answer = api.ask(method, f"{URL}/{identifier}{path}")
            assert answer.status_code == 404
            assert answer.json["faultstring"] == f"Amphora {identifier} not found."


def test_statistics_are_listed_by_listener(api: Api) -> None:
    made = add(api)
    assert api.get(f"{URL}/{made}/stats", 404)["faultstring"] == f"Amphora stats for {made} not found."
    listener = make.listener(1, load_balancer_id=make.load_balancer(1).id)
    api.insert(listener)
    row = {
        "listener_id": listener.id, "amphora_id": made, "epoch": 1, "active_connections": 2,
        "bytes_in": 3, "bytes_out": 4, "total_connections": 5, "request_errors": 6,
        "base_bytes_in": 10, "base_bytes_out": 20, "base_total_connections": 30, "base_request_errors": 40,
    }  # fmt: skip
    api.store.transact(lambda tx: tx.execute(tables.listener_statistics.insert().values(row)))
    assert api.get(f"{URL}/{made}/stats") == {
        "amphora_stats": [
            {
                "id": made, "listener_id": listener.id, "loadbalancer_id": make.load_balancer(1).id,
                "active_connections": 2, "bytes_in": 13, "bytes_out": 24, "total_connections": 35,
                "request_errors": 46,
            }
        ]
    }  # fmt: skip


def test_failover_is_wanted_in_the_database(api: Api) -> None:
    one, other, foreign = add(api), add(api), add(api, 2)
    assert put(api, f"{URL}/{one}/failover") == ""
    assert [find(api, each).failover_requested for each in (one, other, foreign)] == [True, False, False]
    assert (balancer(api).provisioning_status, balancer(api).generation) == ("PENDING_UPDATE", 4)
    assert put(api, f"/v2/lbaas/loadbalancers/{make.load_balancer(1).id}/failover") == ""
    assert [find(api, each).failover_requested for each in (one, other, foreign)] == [True, True, False]
    assert balancer(api, 2).provisioning_status == "ACTIVE"


def test_failover_in_every_status_that_is_not_a_deletion(api: Api) -> None:
    made, url = add(api), f"/v2/lbaas/loadbalancers/{make.load_balancer(1).id}/failover"
    for status in ("ACTIVE", "ERROR", "PENDING_UPDATE"):
        change(api, provisioning_status=status)
        assert put(api, url) == ""
    change(api, provisioning_status="PENDING_DELETE")
    before = api.get(f"{URL}/{made}")
    identifier = make.load_balancer(1).id
    message = f"Invalid state PENDING_DELETE of loadbalancer resource {identifier}"
    assert put(api, url, 409) == message
    message = f"Load Balancer {identifier} is immutable and cannot be updated."
    for what in ("failover", "config"):
        assert put(api, f"{URL}/{made}/{what}", 409) == message
    assert api.get(f"{URL}/{made}") == before
    change(api, provisioning_status="DELETED")
    assert put(api, url, 404) == f"Load Balancer {identifier} not found."
    assert put(api, f"{URL}/{made}/failover", 409) == message


def test_config_has_the_agent_given_everything_anew(api: Api) -> None:
    made = add(api)
    assert put(api, f"{URL}/{made}/config") == ""
    assert find(api, made).applied_generation == 0
    assert balancer(api).generation == 4


def test_only_what_has_failed_can_be_deleted(api: Api) -> None:
    living, dead = add(api), add(api, status=AmphoraStatus.ERROR)
    refused = api.ask("DELETE", f"{URL}/{living}")
    assert refused.status_code == 409
    assert refused.json["faultstring"] == f"Amphora {living} is immutable and cannot be updated."
    assert balancer(api).generation == 3
    assert api.ask("DELETE", f"{URL}/{dead}").status_code == 204
    assert find(api, dead).status is AmphoraStatus.PENDING_DELETE
    assert balancer(api).generation == 4
    assert put(api, f"{URL}/{dead}/failover", 409) == f"Amphora {dead} is immutable and cannot be updated."


def test_what_is_left_of_a_deleted_load_balancer_is_given_up(api: Api) -> None:
    dead = add(api, status=AmphoraStatus.ERROR)
    change(api, provisioning_status="DELETED")
    assert api.ask("DELETE", f"{URL}/{dead}").status_code == 204
    assert find(api, dead).status is AmphoraStatus.DELETED
    assert balancer(api).generation == 3
