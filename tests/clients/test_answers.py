"""The key sets of every answer, POST, PUT, GET and lists, over real HTTP (contract appendix C)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from tests.clients.served import NOBODY, SUBNET, Served
from tests.unit.test_api_shows import KEYS

pytestmark = pytest.mark.system
MONITOR = KEYS[HealthMonitor]
POOL = KEYS[Pool] - {"healthmonitor_id"}  # there only when there is one
SHAPES: dict[str, set[str]] = {
    "loadbalancer": KEYS[LoadBalancer],
    "listener": KEYS[Listener],
    "pool": POOL,
    "member": KEYS[Member],
    "healthmonitor": MONITOR,
    "l7policy": KEYS[L7Policy],
    "rule": KEYS[L7Rule],
    "quota": {
        "project_id", "tenant_id", "loadbalancer", "load_balancer", "listener", "member", "pool", "healthmonitor",
        "health_monitor", "l7policy", "l7rule",
    },
    "flavor": {"id", "name", "description", "enabled", "flavor_profile_id"},
    "flavorprofile": {"id", "name", "provider_name", "flavor_data"},
    "availability_zone": {"name", "description", "enabled", "availability_zone_profile_id"},
    "availability_zone_profile": {"id", "name", "provider_name", "availability_zone_data"},
}  # fmt: skip
# Root of the objects of a list, and of its links, where they do not follow from that of one object.
PLURALS = {"l7policy": "l7policies"}
LINKS = {
    "flavorprofile": "flavorprofile_links",
    "availability_zone_profile": "availability_zone_profile_links",
}


class Made:
    """Objects of every kind; ``paths``: where each kind is listed."""

    def __init__(self, hydria: Served) -> None:
        self.hydria = hydria
        self.paths: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def post(self, root: str, path: str, **attributes: Any) -> dict[str, Any]:
        answer = self.hydria.ask("POST", path, {root: attributes})
        assert (answer.status, set(answer.body)) == (201, {root}), answer
        made: dict[str, Any] = answer.body[root]
        self.paths[root], self.ids[root] = path, made.get("id") or made["name"]
        expected = SHAPES[root]
        assert set(made) - {"healthmonitor_id"} == expected, (root, set(made) ^ expected)
        return made


@pytest.fixture(scope="module")
def made(hydria: Served) -> Iterator[Made]:
    made = Made(hydria)
    provider = {"provider_name": "noop_driver"}
    profile = made.post("flavorprofile", "/flavorprofiles", name="keys", flavor_data="{}", **provider)
    made.post("flavor", "/flavors", name="keys", flavor_profile_id=profile["id"])
    zones = made.post(
        "availability_zone_profile",
        "/availabilityzoneprofiles",
        name="keys",
        availability_zone_data="{}",
        **provider,
    )
    made.post(
        "availability_zone", "/availabilityzones", name="keys", availability_zone_profile_id=zones["id"]
    )
    balancer = made.post("loadbalancer", "/loadbalancers", vip_subnet_id=SUBNET, provider="noop_driver")
    listener = made.post(
        "listener", "/listeners", loadbalancer_id=balancer["id"], protocol="HTTP", protocol_port=80
    )
    pool = made.post(
        "pool", "/pools", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    made.post("member", f"/pools/{pool['id']}/members", address="192.0.2.1", protocol_port=80)
    made.post(
        "healthmonitor", "/healthmonitors", pool_id=pool["id"], type="HTTP", delay=5, timeout=3, max_retries=2
    )
    policy = made.post("l7policy", "/l7policies", listener_id=listener["id"], action="REJECT")
    made.post("rule", f"/l7policies/{policy['id']}/rules", type="PATH", compare_type="EQUAL_TO", value="/")
    assert hydria.ask("PUT", "/quotas/keys", {"quota": {"pool": 1}}).status == 202
    made.paths["quota"], made.ids["quota"] = "/quotas", "keys"
    yield made
    assert hydria.ask("DELETE", f"/loadbalancers/{balancer['id']}?cascade=true").status == 204
    assert hydria.ask("DELETE", "/quotas/keys").status == 202
    for root in ("flavor", "flavorprofile", "availability_zone", "availability_zone_profile"):
        assert hydria.ask("DELETE", f"{made.paths[root]}/{made.ids[root]}").status == 204


def expected(root: str) -> set[str]:
    """The pool of these tests has a monitor."""
    return SHAPES[root] | ({"healthmonitor_id"} if root == "pool" else set())


@pytest.mark.parametrize("root", SHAPES)
def test_shown_changed_and_listed_alike(hydria: Served, made: Made, root: str) -> None:
    path, identifier = made.paths[root], made.ids[root]
    shown = hydria.ask("GET", f"{path}/{identifier}").body
    assert set(shown) == {root}
    assert set(shown[root]) == expected(root)
    values = {"pool": 2} if root == "quota" else {}
    if root == "l7policy":  # the one resource of which an empty change is refused
        values = {"description": "d"}
    changed = hydria.ask("PUT", f"{path}/{identifier}", {root: values})
    assert changed.status == (202 if root == "quota" else 200), changed
    assert set(changed.body[root]) == expected(root)
    listed = hydria.ask("GET", path).body
    plural = PLURALS.get(root, f"{root}s")
    assert set(listed) == {plural, LINKS.get(root, f"{plural}_links")}
    for each in listed[plural]:
        assert set(each) | {"healthmonitor_id"} == expected(root) | {"healthmonitor_id"}
    assert identifier in {each.get("id") or each.get("project_id") or each["name"] for each in listed[plural]}


def test_what_is_no_object(hydria: Served, made: Made) -> None:
    stats = {"bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"}
    for root in ("loadbalancer", "listener"):
        answer = hydria.ask("GET", f"{made.paths[root]}/{made.ids[root]}/stats").body
        assert {key: set(value) for key, value in answer.items()} == {"stats": stats}
    for kind in ("flavor", "availability_zone"):
        answer = hydria.ask("GET", f"/providers/amphora/{kind}_capabilities").body
        assert set(answer) - {f"{kind}_capabilities_links"} == {f"{kind}_capabilities"}
        assert all(set(each) == {"name", "description"} for each in answer[f"{kind}_capabilities"])
    fault = hydria.ask("GET", f"/loadbalancers/{made.ids['pool']}")
    assert (fault.status, set(fault.body)) == (404, {"faultcode", "faultstring", "debuginfo"})
    fault = hydria.ask("GET", f"/pools/{made.ids['listener']}/members/{made.ids['member']}")
    assert (fault.status, set(fault.body)) == (404, {"code", "title", "description"})


@pytest.mark.parametrize("root", SHAPES)
def test_what_a_body_must_not_have_is_told_first(hydria: Served, made: Made, root: str) -> None:
    """Before it is looked up what the body is for (contract 1.20)."""
    answer = hydria.ask("PUT", f"{made.paths[root]}/{NOBODY}", {root: {"nonsense": 1}})
    assert answer.status == 400, answer
    assert answer.body["faultstring"].startswith("Unknown attribute for argument ")
    assert answer.body["faultstring"].endswith(f".{root}: nonsense")


def test_a_rule_is_that_of_its_own_policy(hydria: Served, made: Made) -> None:
    other = {"l7policy": {"listener_id": made.ids["listener"], "action": "REJECT"}}
    policy = hydria.ask("POST", "/l7policies", other).body["l7policy"]
    path = f"/l7policies/{policy['id']}/rules/{made.ids['rule']}"
    for method, body in (("GET", None), ("PUT", {"rule": {"value": "/x"}}), ("DELETE", None)):
        answer = hydria.ask(method, path, body)
        assert answer.status == 404, (method, answer)
    assert hydria.ask("GET", f"{made.paths['rule']}/{made.ids['rule']}").body["rule"]["value"] == "/"
    assert hydria.ask("DELETE", f"/l7policies/{policy['id']}").status == 204


def test_a_whole_tree_shows_itself_in_full(hydria: Served) -> None:
    pool = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "192.0.2.1", "protocol_port": 80}],
        "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    }  # fmt: skip
    policy = {"action": "REJECT", "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}]}
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool, "l7policies": [policy]}
    body = {"vip_subnet_id": SUBNET, "provider": "noop_driver", "listeners": [listener]}
    made = hydria.ask("POST", "/loadbalancers", {"loadbalancer": body}).body["loadbalancer"]
    try:
        assert set(made) == SHAPES["loadbalancer"]
        (listener,), (pool,) = made["listeners"], made["pools"]
        (policy,), (member,) = listener["l7policies"], pool["members"]
        assert set(listener) == SHAPES["listener"] - {"loadbalancers"}
        assert set(pool) == SHAPES["pool"] - {"loadbalancers"} | {"healthmonitor"}
        assert set(member) == SHAPES["member"]
        assert set(pool["healthmonitor"]) - {"pools"} == MONITOR - {"pools"}
        assert set(policy) == SHAPES["l7policy"]
        assert set(policy["rules"][0]) == SHAPES["rule"]
    finally:
        hydria.ask("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
