"""Quotas over HTTP: what is set, what holds, what is used."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hydria.testing import trees as make
from tests.databases import new_store
from tests.unit.api_reading import Api

ALL = -1
KINDS = ("loadbalancer", "listener", "member", "pool", "healthmonitor", "l7policy", "l7rule")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store = new_store(tmp_path)
    yield Api(store)
    store.close()


def body(project: str, **given: Any) -> dict[str, Any]:
    """A quota as Appendix C has it, everything else without a limit."""
    shown = {**dict.fromkeys(KINDS, ALL), **given, "project_id": project, "tenant_id": project}
    return {**shown, "load_balancer": shown["loadbalancer"], "health_monitor": shown["healthmonitor"]}


def put(api: Api, project: str, status: int = 202, **given: Any) -> Any:
    answer = api.ask("PUT", f"/v2/lbaas/quotas/{project}", json={"quota": given})
    assert answer.status_code == status, answer.text
    return answer.json


def test_what_nobody_has_set_is_the_default_and_not_listed(api: Api) -> None:
    for url in ("p1", "p1/default"):
        assert api.get(f"/v2/lbaas/quotas/{url}") == {"quota": body("p1")}
    assert api.get("/v2/lbaas/quotas/defaults") == {"quota": body("defaults")}
    assert api.get("/v2/lbaas/quotas") == {"quotas": [], "quotas_links": []}


def test_what_is_set_holds_until_it_is_deleted(api: Api) -> None:
    assert put(api, "p1", loadbalancer=3, pool="7") == {"quota": body("p1", loadbalancer=3, pool=7)}
    assert put(api, "p1", listener=0) == {"quota": body("p1", loadbalancer=3, pool=7, listener=0)}
    assert api.get("/v2/lbaas/quotas/p1") == {"quota": body("p1", loadbalancer=3, pool=7, listener=0)}
    assert api.get("/v2/lbaas/quotas/p1/default") == {"quota": body("p1")}
    for _ in range(2):  # of two clients at once, the second finds nothing either
        answer = api.ask("DELETE", "/v2/lbaas/quotas/p1")
        assert (answer.status_code, answer.content) == (202, b"")
    assert api.get("/v2/lbaas/quotas/p1") == {"quota": body("p1")}


def test_null_is_the_default_again(api: Api) -> None:
    put(api, "p1", loadbalancer=3, member=4)
    assert put(api, "p1", loadbalancer=None) == {"quota": body("p1", member=4)}


def test_the_list_has_what_is_set_and_no_defaults(api: Api) -> None:
    put(api, "p2", loadbalancer=3)
    put(api, "p1")
    listed = api.get("/v2/lbaas/quotas")["quotas"]
    assert [each["project_id"] for each in listed] == ["p1", "p2"]
    nothing = dict.fromkeys(KINDS)
    assert listed[1] == body("p2", **{**nothing, "loadbalancer": 3})
    assert api.get("/v2/lbaas/quotas?project_id=p2&fields=loadbalancer")["quotas"] == [{"loadbalancer": 3}]
    first = api.get("/v2/lbaas/quotas?limit=1")
    assert [each["project_id"] for each in first["quotas"]] == ["p1"]
    assert "marker=p1" in first["quotas_links"][0]["href"]


def test_old_names_mean_the_same(api: Api) -> None:
    given = {"load_balancer": 3, "health_monitor": 4}
    assert put(api, "p1", **given) == {"quota": body("p1", loadbalancer=3, healthmonitor=4)}
    assert put(api, "p1", load_balancer=5, loadbalancer=5) == {
        "quota": body("p1", loadbalancer=5, healthmonitor=4)
    }
    assert "its old name" in put(api, "p1", 400, load_balancer=5, loadbalancer=6)["faultstring"]


@pytest.mark.parametrize("value", [-2, 2_000_000_001, "many", True, [1]])
def test_no_quota_is_such(api: Api, value: object) -> None:
    refused = put(api, "p1", 400, pool=value)
    assert refused["faultstring"].startswith("Invalid input for field/attribute pool. Value: ")
    assert api.get("/v2/lbaas/quotas")["quotas"] == []


def test_what_a_request_may_not_have(api: Api) -> None:
    assert put(api, "p1", 400, x=1)["faultstring"] == "Unknown attribute for argument quotas.quota: x"
    assert put(api, "p1", 400, project_id="p2")["faultstring"].endswith("quotas.quota: project_id")
    for sent in ({}, {"quotas": {}}, {"quota": None}, {"quota": 1}):
        assert api.ask("PUT", "/v2/lbaas/quotas/p1", json=sent).status_code == 400
    assert api.ask("DELETE", "/v2/lbaas/quotas/p1?x=1").status_code == 400


def test_the_operator_sets_the_defaults(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    api = Api(store)
    object.__setattr__(api.settings.quotas, "default_load_balancer_quota", 9)
    assert api.get("/v2/lbaas/quotas/p1") == {"quota": body("p1", loadbalancer=9)}
    store.close()


def test_usage_is_what_lives(api: Api) -> None:
    put(api, "p1", pool=5)
    api.insert(
        make.load_balancer(1, project_id="p1", provisioning_status="PENDING_DELETE"),
        make.load_balancer(2, project_id="p1", provisioning_status="DELETED"),
        make.load_balancer(3, project_id="p2"),
        make.pool(1, project_id="p1"),
        make.pool(2, project_id="p1", provisioning_status="PENDING_DELETE"),
        make.member(1, project_id="p1", provisioning_status="ERROR"),
    )
    usage = api.get("/v2/lbaas/quotas/p1/usage")["quota_usage"]
    assert usage["project_id"] == usage["tenant_id"] == "p1"
    assert usage["loadbalancer"] == {"limit": -1, "used": 1}
    assert usage["pool"] == {"limit": 5, "used": 1}
    assert usage["member"] == {"limit": -1, "used": 1}
    assert usage["listener"] == {"limit": -1, "used": 0}
