"""Rate limit policies and rules through the API: what a change affects, refusals, nested creation."""

import copy
from pathlib import Path
from typing import Any

import pytest

from hydria.model import rules
from hydria.model.errors import Busy, Conflict, Invalid, NotFound, Unsupported
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Resource
from tests.databases import new_store
from tests.unit import api_reading
from tests.unit.api_writing import GRAPH, Api, everything

NOBODY = "77777777-0000-4000-8000-000000000000"
RULE = {"metric": "REQUESTS", "threshold": 5}
A, C, U, D = "ACTIVE", "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    return limited(api)


def limited(api: Api) -> dict[str, str]:
    """One of each, applied."""
    ids = everything(api)
    ids["policy"] = api.create(RateLimitPolicy, listener_id=ids["listeners"], action="DENY")["id"]
    api.apply()
    ids["rule"] = api.create(RateLimitRule, ids["policy"], **RULE)["id"]
    api.apply()
    return ids


def statuses(api: Api) -> str:
    """Load balancer, listeners, pools, policies, rules."""
    found = api.statuses()
    tables = ("load_balancers", "listeners", "pools", "rate_limit_policies", "rate_limit_rules")
    return " ".join("+".join(found[table]) or "-" for table in tables)


CASES = {
    "policy POST": (
        lambda api, its: api.create(RateLimitPolicy, listener_id=its["listeners"], action="QUEUE"),
        f"{U} {U} {A} {A}+{C} {A}",
    ),
    "policy PUT": (
        lambda api, its: api.update(RateLimitPolicy, its["policy"], enabled=False), f"{U} {U} {A} {U} {A}"
    ),
    "policy DELETE": (lambda api, its: api.delete(RateLimitPolicy, its["policy"]), f"{U} {U} {A} {D} {D}"),
    "rule POST": (lambda api, its: api.create(RateLimitRule, its["policy"], **RULE), f"{U} {U} {A} {U} {A}+{C}"),
    "rule PUT": (
        lambda api, its: api.update(RateLimitRule, its["rule"], its["policy"], threshold=9), f"{U} {U} {A} {U} {U}"
    ),
    "rule DELETE": (lambda api, its: api.delete(RateLimitRule, its["rule"], its["policy"]), f"{U} {U} {A} {U} {D}"),
    "listener DELETE": (lambda api, its: api.delete(Listener, its["listeners"]), f"{U} {D} {A} {D} {D}"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_change_marks_what_it_affects_and_is_applied(api: Api, ids: dict[str, str], case: str) -> None:
    request, expected = CASES[case]
    request(api, ids)
    assert statuses(api) == expected
    api.apply()
    assert set(statuses(api).replace("+", " ").split()) <= {A, "-"}
    assert len(api.all(RateLimitPolicy)) == expected.split()[3].count("_CREATE") + (
        D not in expected.split()[3]
    )


def test_operating_status_is_what_the_owner_says_once_it_is_applied(api: Api, ids: dict[str, str]) -> None:
    def seen() -> tuple[str, str]:
        (policy,), (rule,) = api.all(RateLimitPolicy), api.all(RateLimitRule)
        return policy.operating_status, rule.operating_status

    assert seen() == ("ONLINE", "ONLINE")
    api.update(RateLimitPolicy, ids["policy"], enabled=False)
    assert seen() == ("ONLINE", "ONLINE")
    api.apply()
    assert seen() == ("OFFLINE", "ONLINE")


def test_what_is_on_its_way_out_may_be_deleted_again_but_not_changed(api: Api, ids: dict[str, str]) -> None:
    api.delete(RateLimitPolicy, ids["policy"])
    api.delete(RateLimitPolicy, ids["policy"])
    message = f"Rate Limit Policy {ids['policy']} is immutable and cannot be updated."
    with api.unchanged(Busy, message):
        api.update(RateLimitPolicy, ids["policy"], name="n")
    with api.unchanged(Busy, message):
        api.create(RateLimitRule, ids["policy"], **RULE)


def test_a_rule_is_reached_through_its_own_policy_alone(api: Api, ids: dict[str, str]) -> None:
    other = api.create(RateLimitPolicy, listener_id=ids["listeners"], action="DENY")["id"]
    for request in (
        lambda: api.update(RateLimitRule, ids["rule"], other, threshold=9),
        lambda: api.delete(RateLimitRule, ids["rule"], other),
    ):
        with api.unchanged(NotFound, f"Rate Limit Rule {ids['rule']} not found."):
            request()


def test_what_is_not_there(api: Api, ids: dict[str, str]) -> None:
    with api.unchanged(NotFound, f"Listener {NOBODY} not found."):
        api.create(RateLimitPolicy, listener_id=NOBODY, action="DENY")
    with api.unchanged(NotFound, f"Rate Limit Policy {NOBODY} not found."):
        api.create(RateLimitRule, NOBODY, **RULE)


def test_no_more_policies_and_rules_than_there_may_be(api: Api, ids: dict[str, str]) -> None:
    for _ in range(rules.MOST_LIMIT_RULES - 1):
        api.create(RateLimitRule, ids["policy"], **RULE)
    with api.unchanged(Conflict, f"Too many rules on rate limit policy {ids['policy']}: at most 10"):
        api.create(RateLimitRule, ids["policy"], **RULE)
    api.delete(RateLimitRule, ids["rule"], ids["policy"])
    api.create(RateLimitRule, ids["policy"], **RULE)
    policy = {"listener_id": ids["listeners"], "action": "DENY"}
    for _ in range(rules.MOST_LIMIT_POLICIES - 1):
        api.create(RateLimitPolicy, **policy)
    message = f"Too many rate limit policies on listener {ids['listeners']}: at most 10"
    with api.unchanged(Conflict, message):
        api.create(RateLimitPolicy, **policy)
    api.delete(RateLimitPolicy, ids["policy"])
    api.create(RateLimitPolicy, **policy)


def test_a_fourth_interval_of_a_listener(api: Api, ids: dict[str, str]) -> None:
    second = api.create(RateLimitPolicy, listener_id=ids["listeners"], action="QUEUE")["id"]
    made = [api.create(RateLimitRule, second, **RULE, interval=interval)["id"] for interval in (1, 2)]
    message = (
        f"The rate limit rules of listener {ids['listeners']} would have 4 different intervals (those of"
        " REQUESTS_PER_URL count by themselves); at most 3 are possible. Use an interval that another of its"
        " rules has."
    )
    with api.unchanged(Conflict, message):
        api.create(RateLimitRule, ids["policy"], **RULE, interval=3)
    volume = api.create(RateLimitRule, ids["policy"], metric="KBYTES", threshold=5, interval=2)["id"]
    with api.unchanged(Conflict, message):
        api.update(RateLimitRule, volume, ids["policy"], interval=9)
    with api.unchanged(Conflict, message):
        api.update(RateLimitRule, volume, ids["policy"], metric="REQUESTS_PER_URL", urls=["/"])
    # In the place of one that nothing else looks at there is room for another.
    assert api.update(RateLimitRule, made[0], second, interval=4)["interval"] == 4
    api.delete(RateLimitRule, made[0], second)
    assert api.create(RateLimitRule, second, **RULE, interval=5)["interval"] == 5


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_the_amphora_provider_limits_no_datagrams(api: Api, protocol: str) -> None:
    balancer = everything(api)["load_balancers"]
    made = api.create(Listener, loadbalancer_id=balancer, protocol=protocol, protocol_port=53)["id"]
    message = (
        "Provider 'amphora' does not support a requested option: rate limits are not supported on"
        f" {protocol} listeners."
    )
    with api.unchanged(Unsupported, message):
        api.create(RateLimitPolicy, listener_id=made, action="REJECT")
    nested = {"protocol": protocol, "protocol_port": 53, "rate_limit_policies": [{"action": "REJECT"}]}
    with api.unchanged(Unsupported, message):
        api.create(LoadBalancer, listeners=[nested])


def test_the_noop_provider_is_done_at_once(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="noop_driver")
    ids = limited(api)
    assert statuses(api) == f"{A} {A} {A} {A} {A}"
    # octavia-lib has no words for them: it is the listener that has changed.
    method, (was, becomes) = api.noop.calls[-1]
    assert (method, was.listener_id, becomes.listener_id) == ("listener_update", *[ids["listeners"]] * 2)
    api.delete(RateLimitPolicy, ids["policy"])
    assert (api.all(RateLimitPolicy), api.all(RateLimitRule)) == ((), ())


def test_everything_goes_with_the_load_balancer(api: Api, ids: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="it has children"):
        api.delete(LoadBalancer, ids["load_balancers"])
    api.delete(LoadBalancer, ids["load_balancers"], cascade=True)
    api.apply()
    assert (api.all(RateLimitPolicy), api.all(RateLimitRule)) == ((), ())


def test_a_change_may_depend_on_what_one_has_read(api: Api, ids: dict[str, str]) -> None:
    reading = api_reading.Api(api.store)
    url = f"/v2/lbaas/ratelimitpolicies/{ids['policy']}"
    for path in (url, f"{url}/rules/{ids['rule']}"):
        root = "rule" if "rules" in path else "ratelimitpolicy"
        tag = reading.ask("GET", path).headers["ETag"]
        assert reading.ask("GET", path, headers={"If-None-Match": tag}).status_code == 304
        first = reading.ask("PUT", path, json={root: {"name": "one"}}, headers={"If-Match": tag})
        assert first.status_code == 200
        second = reading.ask("PUT", path, json={root: {"name": "two"}}, headers={"If-Match": tag})
        assert second.status_code == 412


def graph(**more: Any) -> dict[str, Any]:
    body = copy.deepcopy(GRAPH)
    policies = [
        {
            "action": "DENY",
            "tags": ["t"],
            "rules": [RULE, {"metric": "KBYTES", "threshold": 9, "interval": 60}],
        },
        {"action": "QUEUE", "enabled": False},
    ]
    body["listeners"][0]["rate_limit_policies"] = more.pop("policies", policies)
    return body | more


def test_policies_in_a_fully_populated_create(api: Api) -> None:
    made = api.create(LoadBalancer, **graph())
    (listener,) = made["listeners"]
    policies = listener["rate_limit_policies"]
    assert [(each["action"], each["enabled"], len(each["rules"])) for each in policies] == [
        ("DENY", True, 2),
        ("QUEUE", False, 0),
    ]
    assert policies[0]["tags"] == ["t"]
    assert {each["metric"] for each in policies[0]["rules"]} == {"REQUESTS", "KBYTES"}
    assert {each.listener_id for each in api.all(RateLimitPolicy)} == {listener["id"]}
    assert {each.rate_limit_policy_id for each in api.all(RateLimitRule)} == {policies[0]["id"]}
    assert "rate_limit_policies" not in api.create(LoadBalancer, **GRAPH)["listeners"][0]


BAD: dict[str, tuple[list[dict[str, Any]], type[Exception], str]] = {
    "action": ([{}], Invalid, "Mandatory field missing"),
    "listener": ([{"action": "DENY", "listener_id": NOBODY}], Invalid, "Unknown attribute"),
    "metric": ([{"action": "DENY", "rules": [{"threshold": 5}]}], Invalid, "Mandatory field missing"),
    "urls": (
        [{"action": "DENY", "rules": [{"metric": "REQUESTS_PER_URL", "threshold": 5}]}], Invalid, "needs urls"
    ),
    "windows": (
        [{"action": "DENY", "rules": [RULE | {"interval": number} for number in (1, 2, 3, 4)]}],
        Conflict, "4 different intervals",
    ),
    "rules": ([{"action": "DENY", "rules": [RULE] * 11}], Conflict, "Too many rules on rate limit policy"),
    "policies": ([{"action": "DENY"}] * 11, Conflict, "Too many rate limit policies on listener"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_one_bad_policy_and_nothing_is_made(api: Api, case: str) -> None:
    policies, error, message = BAD[case]
    before = api.dump()
    with pytest.raises(error, match=message):
        api.create(LoadBalancer, **graph(policies=policies))
    assert api.dump() == before


def test_alone_an_object_takes_no_nested_ones(api: Api, ids: dict[str, str]) -> None:
    nested: list[tuple[type[Resource], dict[str, Any]]] = [
        (RateLimitPolicy, {"listener_id": ids["listeners"], "action": "DENY", "rules": [RULE]}),
        (
            Listener,
            {
                "loadbalancer_id": ids["load_balancers"], "protocol": "HTTP", "protocol_port": 81,
                "rate_limit_policies": [{"action": "DENY"}],
            },
        ),
    ]  # fmt: skip
    for resource, body in nested:
        with pytest.raises(Invalid, match="Nested objects are only for the creation of a fully populated"):
            api.create(resource, **body)
