"""What GET shows of one object: the key sets of contract appendix C, the status tree and statistics (1.9)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.api import views
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource
from hydria.model.statuses import PersistenceType
from hydria.store import rows, tables
from hydria.store.relations import Relations
from hydria.store.tables import RESOURCES
from hydria.testing import trees
from tests.databases import new_store
from tests.unit.api_reading import Api, url_of

EVERY = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.root)
NOBODY = "77777777-0000-4000-8000-000000000000"

COMMON = {
    "id", "name", "provisioning_status", "operating_status", "admin_state_up", "project_id", "tenant_id",
    "created_at", "updated_at", "tags",
}  # fmt: skip
KEYS: dict[type[Resource], set[str]] = {
    LoadBalancer: COMMON | {
        "description", "vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "vip_qos_policy_id",
        "vip_sg_ids", "vip_vnic_type", "additional_vips", "listeners", "pools", "provider", "flavor_id",
        "availability_zone",
    },
    Listener: COMMON | {
        "description", "protocol", "protocol_port", "connection_limit", "default_tls_container_ref",
        "sni_container_refs", "default_pool_id", "l7policies", "insert_headers", "loadbalancers",
        "timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect",
        "client_ca_tls_container_ref", "client_authentication", "client_crl_container_ref", "allowed_cidrs",
        "tls_ciphers", "tls_versions", "alpn_protocols", "hsts_max_age", "hsts_include_subdomains",
        "hsts_preload",
    },
    Pool: COMMON | {
        "description", "protocol", "lb_algorithm", "session_persistence", "loadbalancers", "listeners",
        "healthmonitor_id", "members", "tls_container_ref", "ca_tls_container_ref", "crl_container_ref",
        "tls_enabled", "tls_ciphers", "tls_versions", "alpn_protocols",
    },
    Member: COMMON | {
        "address", "protocol_port", "weight", "backup", "subnet_id", "monitor_address", "monitor_port",
        "vnic_type",
    },
    HealthMonitor: COMMON | {
        "type", "delay", "timeout", "max_retries", "max_retries_down", "http_method", "url_path",
        "expected_codes", "pools", "http_version", "domain_name",
    },
    L7Policy: COMMON | {
        "description", "action", "listener_id", "redirect_pool_id", "redirect_url", "redirect_prefix", "position",
        "rules", "redirect_http_code",
    },
    L7Rule: COMMON - {"name"} | {"type", "compare_type", "key", "value", "invert"},
    RateLimitPolicy: COMMON - {"admin_state_up"} | {
        "description", "action", "enabled", "listener_id", "rules",
    },
    RateLimitRule: COMMON - {"admin_state_up"} | {"metric", "threshold", "interval", "urls"},
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Api:
    api = Api(new_store(tmp_path))
    api.insert(
        trees.load_balancer(
            additional_vips=[{"subnet_id": NOBODY, "ip_address": "2001:db8::10", "port_id": None}]
        ),
        trees.pool(
            session_persistence=SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name="sid")
        ),
        trees.listener(
            default_pool_id=trees.POOL, insert_headers={"X-Forwarded-For": "true"}, tags=("b", "a")
        ),
        trees.member(1),
        trees.monitor(http_version=1.1),
        trees.policy(tags=("a",)),
        trees.rule(),
    )
    return api


@pytest.fixture(autouse=True)
def _objects_of_extensions(api: Api, request: pytest.FixtureRequest) -> None:
    """Where the test is about one of them: others are shown as clients know them who never use any."""
    about = request.node.callspec.params.get("resource") if hasattr(request.node, "callspec") else None
    if about in (RateLimitPolicy, RateLimitRule):
        api.insert(trees.limit_policy(), trees.limit_rule())


def shown(api: Api, resource: type[Resource]) -> dict[str, Any]:
    (found,) = api.get(url_of(resource))[resource.plural]
    answer = api.get(f"{url_of(resource)}/{found['id']}")
    assert answer == {resource.root: found}
    return found


@EVERY
def test_the_keys_are_those_that_clients_know(api: Api, resource: type[Resource]) -> None:
    assert set(shown(api, resource)) == KEYS[resource]


@EVERY
def test_rows_and_objects_are_shown_alike(api: Api, resource: type[Resource]) -> None:
    made: dict[type[Resource], Relations] = {
        LoadBalancer: Relations(listeners=(trees.LISTENER,), pools=(trees.POOL,)),
        Listener: Relations(tags=("a", "b"), l7policies=(trees.POLICY,)),
        L7Policy: Relations(tags=("a",), rules=(trees.RULE,)),
        RateLimitPolicy: Relations(rules=(trees.LIMIT_RULE,)),
        Pool: Relations(listeners=(trees.LISTENER,), members=(trees.MEMBER,), healthmonitor_id=trees.MONITOR),
    }
    with api.store.read() as tx:
        (item,) = rows.load(tx, resource)
    assert views.body(item, made.get(resource, Relations())) == shown(api, resource)


@EVERY
def test_one_object_is_two_statements(api: Api, resource: type[Resource]) -> None:
    identifier = trees.identifier(resource)
    with api.statements() as seen:
        api.get(f"{url_of(resource)}/{identifier}")
    assert len(seen) == 2


def test_values(api: Api) -> None:
    balancer = shown(api, LoadBalancer)
    assert balancer["additional_vips"] == [
        {"subnet_id": NOBODY, "ip_address": "2001:db8::10", "port_id": None}
    ]
    assert (balancer["listeners"], balancer["pools"]) == ([{"id": trees.LISTENER}], [{"id": trees.POOL}])
    assert (balancer["vip_sg_ids"], balancer["admin_state_up"]) == ([], True)
    assert (balancer["created_at"], balancer["updated_at"]) == ("2026-01-01T00:00:01", None)
    assert (balancer["tenant_id"], balancer["project_id"]) == (trees.PROJECT, trees.PROJECT)
    listener = shown(api, Listener)
    assert (listener["insert_headers"], listener["sni_container_refs"]) == ({"X-Forwarded-For": "true"}, [])
    assert (listener["loadbalancers"], listener["l7policies"]) == (
        [{"id": trees.BALANCER}], [{"id": trees.POLICY}],
    )  # fmt: skip
    assert (listener["tags"], listener["allowed_cidrs"]) == (["a", "b"], None)
    pool = shown(api, Pool)
    assert pool["session_persistence"] == {
        "type": "APP_COOKIE", "cookie_name": "sid", "persistence_timeout": None,
        "persistence_granularity": None,
    }  # fmt: skip
    assert (pool["members"], pool["listeners"]) == ([{"id": trees.MEMBER}], [{"id": trees.LISTENER}])
    monitor = shown(api, HealthMonitor)
    assert (monitor["pools"], monitor["http_version"]) == ([{"id": trees.POOL}], 1.1)
    assert (shown(api, Member)["backup"], shown(api, Member)["weight"]) == (False, 1)


def test_a_pool_without_monitor_has_no_such_key(api: Api) -> None:
    api.insert(trees.pool(2))
    alone = api.get(f"/v2/pools/{trees.identifier(Pool, 2)}")["pool"]
    assert set(alone) == KEYS[Pool] - {"healthmonitor_id"}
    assert alone["session_persistence"] is None


def test_microseconds_are_not_shown(api: Api) -> None:
    moment = trees.EPOCH + timedelta(hours=3, microseconds=999_999)
    item = trees.load_balancer(2, created_at=moment, updated_at=moment)
    api.insert(item)
    found = api.get(f"/v2/loadbalancers/{item.id}")["loadbalancer"]
    assert (found["created_at"], found["updated_at"]) == ("2026-01-01T03:00:00",) * 2
    assert views.body(item, Relations())["updated_at"] == "2026-01-01T03:00:00"


@EVERY
def test_what_is_not_there(api: Api, resource: type[Resource]) -> None:
    for identifier in (NOBODY, "no-uuid", "a\x00b", "%2e%2e", "a" * 300):
        fault = api.get(f"{url_of(resource)}/{identifier}", 404)
        assert fault["faultcode"] == "Client"
        assert fault["faultstring"].startswith(f"{resource.label} ")
        assert fault["faultstring"].endswith(" not found.")
    assert api.get(f"{url_of(resource)}/{NOBODY}", 404) == {
        "faultcode": "Client", "faultstring": f"{resource.label} {NOBODY} not found.", "debuginfo": None,
    }  # fmt: skip


def test_identifiers_in_other_spellings(api: Api) -> None:
    spelt = trees.BALANCER.upper().replace("-", "")
    assert api.get(f"/v2/loadbalancers/{spelt}")["loadbalancer"]["id"] == trees.BALANCER


def test_deleted_load_balancers_are_gone(api: Api) -> None:
    item = trees.load_balancer(2, provisioning_status="DELETED")
    api.insert(item)
    for more in ("", "/stats", "/status", "/statuses"):
        fault = api.get(f"/v2/lbaas/loadbalancers/{item.id}{more}", 404)
        assert fault["faultstring"] == f"Load Balancer {item.id} not found."


def test_a_member_is_seen_in_its_own_pool(api: Api) -> None:
    api.insert(trees.pool(2))
    other = trees.identifier(Pool, 2)
    fault = api.get(f"/v2/lbaas/pools/{other}/members/{trees.MEMBER}", 404)
    assert fault["faultstring"] == f"Member {trees.MEMBER} not found."
    assert api.get(f"/v2/lbaas/pools/{other}/members") == {"members": [], "members_links": []}
    assert api.get(f"/v2/lbaas/pools/{other}/members", params={"pool_id": trees.POOL})["members"] == []


@pytest.mark.parametrize("pool", [NOBODY, "no-uuid"])
def test_an_unknown_pool_in_the_path_is_an_error_of_routing(api: Api, pool: str) -> None:
    expected = {"code": 404, "title": "Bad Request", "description": f"Pool {pool} not found."}
    url = f"/v2/lbaas/pools/{pool}/members"
    body = {"member": {"address": "192.0.2.9", "protocol_port": 80}}
    assert api.get(url, 404) == expected
    assert api.get(f"{url}/{trees.MEMBER}", 404) == expected
    assert api.ask("POST", url, json=body).json == expected
    assert api.ask("PUT", url, json={"members": [body["member"]]}).json == expected
    assert api.ask("PUT", f"{url}/{trees.MEMBER}", json={"member": {}}).json == expected
    assert api.ask("DELETE", f"{url}/{trees.MEMBER}").json == expected


def test_a_rule_is_seen_in_its_own_policy(api: Api) -> None:
    api.insert(trees.policy(2))
    other = trees.identifier(L7Policy, 2)
    fault = api.get(f"/v2/lbaas/l7policies/{other}/rules/{trees.RULE}", 404)
    assert fault["faultstring"] == f"L7 Rule {trees.RULE} not found."
    assert api.get(f"/v2/lbaas/l7policies/{other}/rules") == {"rules": [], "rules_links": []}


@pytest.mark.parametrize("policy", [NOBODY, "no-uuid"])
def test_an_unknown_policy_in_the_path_is_an_error_of_routing(api: Api, policy: str) -> None:
    expected = {"code": 404, "title": "Bad Request", "description": f"L7 Policy {policy} not found."}
    url = f"/v2/lbaas/l7policies/{policy}/rules"
    body = {"rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}}
    assert api.get(url, 404) == expected
    assert api.get(f"{url}/{trees.RULE}", 404) == expected
    assert api.ask("POST", url, json=body).json == expected
    assert api.ask("PUT", f"{url}/{trees.RULE}", json=body).json == expected
    assert api.ask("DELETE", f"{url}/{trees.RULE}").json == expected


def test_a_rule_is_called_something_else_on_put(api: Api) -> None:
    """Contract 1.4: the argument is rule_ on POST and l7rule_ on PUT."""
    url = url_of(L7Rule)
    wrong = {"rule": {"colour": "red"}}
    answers = [api.ask("POST", url, json=wrong), api.ask("PUT", f"{url}/{trees.RULE}", json=wrong)]
    assert [answer.json["faultstring"] for answer in answers] == [
        "Unknown attribute for argument rule_.rule: colour",
        "Unknown attribute for argument l7rule_.rule: colour",
    ]
    answers = [api.ask("POST", url), api.ask("PUT", f"{url}/{trees.RULE}")]
    assert [answer.json["faultstring"] for answer in answers] == [
        'Missing argument: "rule_"', 'Missing argument: "l7rule_"',
    ]  # fmt: skip


def test_policies_are_listed_in_the_order_in_which_they_are_tried(api: Api) -> None:
    numbers = {2: 3, 3: 2, 4: 10, 5: 4}  # policy -> position
    api.insert(*(trees.policy(number, position=position) for number, position in numbers.items()))
    found = api.get(f"/v2/lbaas/listeners/{trees.LISTENER}")["listener"]["l7policies"]
    assert [item["id"] for item in found] == [
        trees.identifier(L7Policy, number) for number in (1, 3, 2, 5, 4)
    ]


REDIRECT = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": trees.identifier(Pool, 2)}
ROUTES = {
    "enabled, with a rule": ({}, {}, True),
    "disabled": ({"admin_state_up": False}, {}, False),
    "going": ({"provisioning_status": "PENDING_DELETE"}, {}, False),
    "without rules": ({}, None, False),
    "its rule is going": ({}, {"provisioning_status": "PENDING_DELETE"}, False),
    "its rule is disabled": ({}, {"admin_state_up": False}, True),
}


@pytest.mark.parametrize("case", ROUTES)
def test_a_pool_is_used_by_listeners_with_a_policy_for_it(api: Api, case: str) -> None:
    """Contract 1.12: enabled policies with at least one rule; the pool is in the status tree then, too."""
    policy, rule, used = ROUTES[case]
    made = trees.policy(2, **REDIRECT, **policy)
    api.insert(trees.pool(2), made)
    if rule is not None:
        api.insert(trees.rule(2, l7policy_id=made.id, **rule))
    pool = api.get(f"/v2/lbaas/pools/{trees.identifier(Pool, 2)}")["pool"]
    assert pool["listeners"] == ([{"id": trees.LISTENER}] if used else [])
    tree = api.get(f"/v2/lbaas/loadbalancers/{trees.BALANCER}/status")["statuses"]["loadbalancer"]
    (listener,) = tree["listeners"]
    names = [pool["name"] for pool in listener["pools"]]
    assert names == ["pool-1", "pool-2"][: 1 + used]


def test_a_pool_that_is_used_twice_names_its_listener_once(api: Api) -> None:
    both = trees.policy(2, action="REDIRECT_TO_POOL", redirect_pool_id=trees.POOL)
    api.insert(both, trees.rule(2, l7policy_id=both.id))
    assert api.get(f"/v2/lbaas/pools/{trees.POOL}")["pool"]["listeners"] == [{"id": trees.LISTENER}]


# --- the status tree


def test_status_tree(api: Api) -> None:
    api.insert(
        trees.listener(2, default_pool_id=trees.POOL), trees.listener(3), trees.pool(2), trees.member(2)
    )

    def statuses(identifier: str, name: str, **more: Any) -> dict[str, Any]:
        return {
            "id": identifier, "name": name, "operating_status": "ONLINE", "provisioning_status": "ACTIVE",
            **more,
        }  # fmt: skip

    pool = statuses(
        trees.POOL,
        "pool-1",
        health_monitor=statuses(trees.MONITOR, "monitor-1", type="HTTP"),
        members=[
            statuses(
                trees.identifier(Member, number),
                f"member-{number}",
                address=f"198.51.100.{number}",
                protocol_port=8080,
            )
            for number in (1, 2)
        ],
    )
    expected = statuses(
        trees.BALANCER,
        "lb-1",
        listeners=[
            statuses(trees.identifier(Listener, number), f"listener-{number}", pools=pools)
            for number, pools in ((1, [pool]), (2, [pool]), (3, []))
        ],
    )
    for name in ("status", "statuses"):
        answer = api.get(f"/v2/lbaas/loadbalancers/{trees.BALANCER}/{name}")
        assert answer == {"statuses": {"loadbalancer": expected}}


def test_a_pool_without_monitor_has_none_in_the_tree(api: Api) -> None:
    with api.store.writer.begin() as tx:
        tx.execute(sa.delete(tables.health_monitors))
    answer = api.get(f"/v2/lbaas/loadbalancers/{trees.BALANCER}/status")
    (listener,) = answer["statuses"]["loadbalancer"]["listeners"]
    assert "health_monitor" not in listener["pools"][0]


# --- statistics

ZEROS = {
    "bytes_in": 0, "bytes_out": 0, "active_connections": 0, "total_connections": 0, "request_errors": 0,
}  # fmt: skip


def test_statistics_before_any_report(api: Api) -> None:
    assert api.get(f"/v2/lbaas/loadbalancers/{trees.BALANCER}/stats") == {"stats": ZEROS}
    assert api.get(f"/v2/lbaas/listeners/{trees.LISTENER}/stats") == {"stats": ZEROS}
    assert "Listener" in api.get(f"/v2/lbaas/listeners/{NOBODY}/stats", 404)["faultstring"]


def test_statistics_are_sums_over_epochs_amphorae_and_listeners(api: Api) -> None:
    api.insert(
        trees.listener(2),
        trees.load_balancer(2),
        trees.listener(9, load_balancer_id=trees.identifier(LoadBalancer, 2)),
    )
    reports = [(trees.LISTENER, "a", 1), (trees.LISTENER, "b", 10), (trees.identifier(Listener, 2), "a", 100)]
    with api.store.writer.begin() as tx:
        for listener_id, amphora_id, unit in [*reports, (trees.identifier(Listener, 9), "c", 1000)]:
            counters = dict.fromkeys(tables.COUNTERS, unit * 2**40)
            bases = {f"base_{name}": unit for name in tables.COUNTERS}
            tx.execute(
                tables.listener_statistics.insert().values(
                    listener_id=listener_id,
                    amphora_id=amphora_id,
                    epoch=1,
                    active_connections=unit,
                    **counters,
                    **bases,
                )
            )
    totals = dict.fromkeys(tables.COUNTERS, 11 * (2**40 + 1)) | {"active_connections": 11}
    assert api.get(f"/v2/lbaas/listeners/{trees.LISTENER}/stats") == {"stats": totals}
    totals = dict.fromkeys(tables.COUNTERS, 111 * (2**40 + 1)) | {"active_connections": 111}
    assert api.get(f"/v2/lbaas/loadbalancers/{trees.BALANCER}/stats") == {"stats": totals}
