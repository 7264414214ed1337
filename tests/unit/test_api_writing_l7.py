"""L7 policies and rules through the API: what a change affects, positions, refusals, nested creation."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydria.model.errors import Busy, Conflict, Invalid, NotFound, Unsupported
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from tests.databases import new_store
from tests.unit.api_writing import GRAPH, Api, everything

NOBODY = "77777777-0000-4000-8000-000000000000"
WEB = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
PATH = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
A, C, U, D = "ACTIVE", "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    return with_policy(api)


def with_policy(api: Api) -> dict[str, str]:
    """One of each, a policy for a second pool with a rule among them, applied."""
    ids = everything(api)
    api.apply()
    ids["spare"] = api.create(Pool, loadbalancer_id=ids["load_balancers"], **WEB)["id"]
    api.apply()
    redirect = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": ids["spare"]}
    ids["l7policies"] = api.create(L7Policy, listener_id=ids["listeners"], **redirect)["id"]
    api.apply()
    ids["l7rules"] = api.create(L7Rule, ids["l7policies"], **PATH)["id"]
    api.apply()
    return ids


def statuses(api: Api) -> str:
    """Load balancer, listeners, pools, policies, rules."""
    found = api.statuses()
    tables = ("load_balancers", "listeners", "pools", "l7policies", "l7rules")
    return " ".join("+".join(found[table]) or "-" for table in tables)


REJECT = {"action": "REJECT"}
CASES = {
    "policy POST": (lambda api, its: api.create(L7Policy, listener_id=its["listeners"], **REJECT), f"{U} {U} {A}+{A} {A}+{C} {A}"),
    "policy PUT": (lambda api, its: api.update(L7Policy, its["l7policies"], name="n"), f"{U} {U} {A}+{A} {U} {A}"),
    "policy DELETE": (lambda api, its: api.delete(L7Policy, its["l7policies"]), f"{U} {U} {A}+{A} {D} {D}"),
    "rule POST": (lambda api, its: api.create(L7Rule, its["l7policies"], **PATH), f"{U} {U} {A}+{A} {U} {A}+{C}"),
    "rule PUT": (lambda api, its: api.update(L7Rule, its["l7rules"], its["l7policies"], invert=True), f"{U} {U} {A}+{A} {U} {U}"),
    "rule PUT {}": (lambda api, its: api.update(L7Rule, its["l7rules"], its["l7policies"]), f"{U} {U} {A}+{A} {U} {U}"),
    "rule DELETE": (lambda api, its: api.delete(L7Rule, its["l7rules"], its["l7policies"]), f"{U} {U} {A}+{A} {U} {D}"),
    "pool PUT": (lambda api, its: api.update(Pool, its["spare"], name="n"), f"{U} {U} {A}+{U} {A} {A}"),
    "listener DELETE": (lambda api, its: api.delete(Listener, its["listeners"]), f"{U} {D} {A}+{A} {D} {D}"),
}  # fmt: skip


@pytest.mark.parametrize("provider", ["amphora", "third"])
@pytest.mark.parametrize("case", CASES)
def test_a_change_marks_what_it_affects(tmp_path: Path, case: str, provider: str) -> None:
    api = Api(new_store(tmp_path), provider=provider)
    ids = with_policy(api)
    request, expected = CASES[case]
    request(api, ids)
    assert statuses(api) == expected
    if provider == "third":
        with api.unchanged(
            Busy, f"Load Balancer {ids['load_balancers']} is immutable and cannot be updated."
        ):
            api.update(L7Policy, ids["l7policies"], name="m")
    api.apply()
    assert not any(status.startswith("PENDING") for each in api.statuses().values() for status in each)


def test_rules_ask_for_a_policy_that_is_active_where_the_provider_locks(tmp_path: Path) -> None:
    from hydria.store import tables

    api = Api(new_store(tmp_path), provider="third")
    ids = with_policy(api)
    api.store.transact(lambda tx: tx.execute(tables.l7policies.update().values(provisioning_status="ERROR")))
    message = f"L7Policy {ids['l7policies']} is immutable and cannot be updated."
    for request in (
        lambda: api.create(L7Rule, ids["l7policies"], **PATH),
        lambda: api.update(L7Rule, ids["l7rules"], ids["l7policies"]),
        lambda: api.delete(L7Rule, ids["l7rules"], ids["l7policies"]),
    ):
        with api.unchanged(Busy, message):
            request()


def test_operating_status_is_what_the_owner_says_once_it_is_applied(api: Api, ids: dict[str, str]) -> None:
    made = api.create(L7Policy, listener_id=ids["listeners"], admin_state_up=False, **REJECT)
    assert made["operating_status"] == "OFFLINE"
    api.apply()
    assert {
        api.get(L7Policy, ids["l7policies"]).operating_status,
        api.get(L7Rule, ids["l7rules"]).operating_status,
    } == {"ONLINE"}
    assert api.get(L7Policy, made["id"]).operating_status == "OFFLINE"


@pytest.mark.parametrize("resource", [L7Policy, L7Rule])
def test_what_is_on_its_way_out_may_be_deleted_again_but_not_changed(
    api: Api, ids: dict[str, str], resource: type
) -> None:
    identifier, parent = ids[resource.table], ids["l7policies"] if resource is L7Rule else None
    api.delete(resource, identifier, parent)
    before = api.dump()
    api.delete(resource, identifier, parent)
    assert api.dump() == before
    label = "L7Policy" if resource is L7Policy else "L7 Rule"
    with api.unchanged(Busy, f"{label} {identifier} is immutable and cannot be updated."):
        api.update(resource, identifier, parent, admin_state_up=False)
    api.apply()
    assert api.get(resource, identifier) is None


# --- positions


def positions(api: Api, listener_id: str) -> list[str]:
    """Names in the order of the positions, which must be 1, 2, 3, …"""
    found = [policy for policy in api.all(L7Policy) if policy.desired and policy.listener_id == listener_id]
    found.sort(key=lambda policy: policy.position)
    assert [policy.position for policy in found] == list(range(1, len(found) + 1))
    return [policy.name for policy in found]


steps = st.one_of(
    st.tuples(st.just("insert"), st.integers(1, 8) | st.just(2**31 - 1) | st.none(), st.just(0)),
    st.tuples(st.just("move"), st.integers(1, 8) | st.none(), st.integers(0, 7)),
    st.tuples(st.just("delete"), st.just(None), st.integers(0, 7)),
    st.tuples(st.just("apply"), st.just(None), st.just(0)),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(new_store(tmp_path_factory.mktemp("store")))


@given(script=st.lists(steps, max_size=12))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_positions_are_those_of_a_list(shared: Api, script: list[tuple[str, int | None, int]]) -> None:
    """Inserts, moves and deletes as in a list; what is deleted has left its place at once."""
    balancer = shared.create(
        LoadBalancer, listeners=[{"protocol": "HTTP", "protocol_port": n} for n in (1, 2)]
    )
    listener, other = (each["id"] for each in balancer["listeners"])
    shared.create(L7Policy, listener_id=other, name="other", **REJECT)
    expected: list[tuple[str, str]] = []
    for number, (what, position, which) in enumerate(script):
        place = {} if position is None else {"position": position}
        if what == "insert":
            made = shared.create(L7Policy, listener_id=listener, name=f"p{number}", **place, **REJECT)
            expected.insert((position or 99) - 1, (made["id"], made["name"]))
            assert made["position"] == expected.index((made["id"], made["name"])) + 1
        elif what == "apply":
            shared.apply(balancer["id"])
        elif expected:
            item = expected.pop(which % len(expected))
            if what == "delete":
                shared.delete(L7Policy, item[0])
            else:
                moved = shared.update(L7Policy, item[0], position=position)
                expected.insert((position or 99) - 1, item)
                assert moved["position"] == expected.index(item) + 1
        assert positions(shared, listener) == [name for _, name in expected]
    assert positions(shared, other) == ["other"]


def test_others_are_not_changed_by_a_move(api: Api, ids: dict[str, str]) -> None:
    before = api.get(L7Policy, ids["l7policies"])
    api.create(L7Policy, listener_id=ids["listeners"], position=1, **REJECT)
    moved = api.get(L7Policy, ids["l7policies"])
    assert (before.position, moved.position, str(moved.provisioning_status)) == (1, 2, A)
    assert moved.updated_at == before.updated_at


# --- refusals


def refused(api: Any, ids: dict[str, str]) -> dict[str, tuple[Any, type, str]]:
    policy, listener, spare = ids["l7policies"], ids["listeners"], ids["spare"]
    bad = "Invalid input for field/attribute"
    wrong = "Error parsing L7Rule: "
    return {
        "unknown listener": (lambda: api.create(L7Policy, listener_id=NOBODY, **REJECT), NotFound, f"Listener {NOBODY} not found."),
        "no listener": (lambda: api.create(L7Policy, **REJECT), Invalid, f"{bad} listener_id. Value: 'None'. Mandatory field missing."),
        "no action": (lambda: api.create(L7Policy, listener_id=listener), Invalid, f"{bad} action. Value: 'None'. Mandatory field missing."),
        "unknown action": (lambda: api.create(L7Policy, listener_id=listener, action="reject"), Invalid, f"{bad} action. Value: 'reject'. Value should be one of: REJECT, REDIRECT_TO_POOL, REDIRECT_TO_URL, REDIRECT_PREFIX, FIXED_RESPONSE, MODIFY"),
        "unknown pool": (lambda: api.create(L7Policy, listener_id=listener, action="REDIRECT_TO_POOL", redirect_pool_id=NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "position": (lambda: api.create(L7Policy, listener_id=listener, position=0, **REJECT), Invalid, f"{bad} position. Value: '0'. Value should be greater or equal to 1"),
        "nested rules": (lambda: api.create(L7Policy, listener_id=listener, rules=[PATH], **REJECT), Invalid, f"{bad} rules. Value: '[{PATH}]'. Nested objects are only for the creation of a fully populated load balancer."),
        "PUT of nothing": (lambda: api.update(L7Policy, policy), Invalid, "Invalid L7 Policy arguments: Invalid update options"),
        "PUT of the listener": (lambda: api.update(L7Policy, policy, listener_id=listener), Invalid, "Unknown attribute for argument l7policy_.l7policy: listener_id"),
        "PUT of unknown pool": (lambda: api.update(L7Policy, policy, redirect_pool_id=NOBODY), NotFound, f"Pool {NOBODY} not found."),
        "unknown policy": (lambda: api.update(L7Policy, NOBODY, name="n"), NotFound, f"L7 Policy {NOBODY} not found."),
        "pool in use": (lambda: api.delete(Pool, spare), Conflict, f"Pool {spare} is in use by L7 policy {policy}"),
        "rule: unknown policy": (lambda: api.create(L7Rule, NOBODY, **PATH), NotFound, f"L7 Policy {NOBODY} not found."),
        "rule: no type": (lambda: api.create(L7Rule, policy, compare_type="REGEX", value="a"), Invalid, f"{bad} type. Value: 'None'. Mandatory field missing."),
        "rule: header without key": (lambda: api.create(L7Rule, policy, **{**PATH, "type": "HEADER"}), Invalid, f"{wrong}Invalid L7 Rule: L7 rule type requires a key"),
        "rule: file type": (lambda: api.create(L7Rule, policy, **{**PATH, "type": "FILE_TYPE"}), Invalid, f"{wrong}Invalid L7 Rule: invalid comparison type for rule type"),
        "rule: PUT": (lambda: api.update(L7Rule, ids["l7rules"], policy, type="FILE_TYPE"), Invalid, f"{wrong}Invalid L7 Rule: invalid comparison type for rule type"),
        "rule: unknown": (lambda: api.delete(L7Rule, NOBODY, policy), NotFound, f"L7 Rule {NOBODY} not found."),
        "rule: name": (lambda: api.create(L7Rule, policy, name="n", **PATH), Invalid, "Unknown attribute for argument rule_.rule: name"),
    }  # fmt: skip


KEYS = ("load_balancers", "listeners", "pools", "spare", "l7policies", "l7rules")


@pytest.mark.parametrize("case", list(refused(None, dict.fromkeys(KEYS, ""))))
def test_a_refused_request_says_why_and_changes_nothing(api: Api, ids: dict[str, str], case: str) -> None:
    request, error, message = refused(api, ids)[case]
    with api.unchanged(error, message):
        request()


def test_pools_must_fit_the_listener(api: Api, ids: dict[str, str]) -> None:
    pool = api.create(
        Pool, loadbalancer_id=ids["load_balancers"], protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )["id"]
    message = "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."
    with api.unchanged(Invalid, message):
        api.create(L7Policy, listener_id=ids["listeners"], action="REDIRECT_TO_POOL", redirect_pool_id=pool)
    with api.unchanged(Invalid, message):
        api.update(L7Policy, ids["l7policies"], redirect_pool_id=pool)


def test_a_rule_is_reached_through_its_own_policy_alone(api: Api, ids: dict[str, str]) -> None:
    other = with_policy(api)
    for request in (api.update, api.delete):
        with api.unchanged(NotFound, f"L7 Rule {ids['l7rules']} not found."):
            request(L7Rule, ids["l7rules"], other["l7policies"])
    beside = api.create(L7Policy, listener_id=ids["listeners"], **REJECT)["id"]
    with api.unchanged(NotFound, f"L7 Rule {ids['l7rules']} not found."):
        api.delete(L7Rule, ids["l7rules"], beside)


def test_fifty_rules_and_no_more(api: Api, ids: dict[str, str]) -> None:
    policy = ids["l7policies"]
    for _ in range(49):
        api.create(L7Rule, policy, **PATH)
    with api.unchanged(Conflict, f"Too many rules on L7 policy {policy}"):
        api.create(L7Rule, policy, **PATH)
    api.delete(L7Rule, ids["l7rules"], policy)
    api.create(L7Rule, policy, **PATH)


@pytest.mark.parametrize("protocol", ["TCP", "HTTPS"])
def test_the_amphora_provider_has_policies_where_http_is_spoken(api: Api, protocol: str) -> None:
    listener = {"protocol": protocol, "protocol_port": 1}
    made = api.create(LoadBalancer, listeners=[listener])["listeners"][0]["id"]
    message = (
        "Provider 'amphora' does not support a requested option:"
        f" L7 policies are not supported on {protocol} listeners."
    )
    with api.unchanged(Unsupported, message):
        api.create(L7Policy, listener_id=made, **REJECT)
    with api.unchanged(Unsupported, message):
        api.create(LoadBalancer, listeners=[{**listener, "l7policies": [REJECT]}])


def test_a_pool_may_go_with_or_after_the_policy_that_needs_it(api: Api, ids: dict[str, str]) -> None:
    api.delete(L7Policy, ids["l7policies"])
    api.delete(Pool, ids["spare"])
    api.apply()
    assert (api.get(Pool, ids["spare"]), api.all(L7Policy), api.all(L7Rule)) == (None, (), ())


def test_everything_goes_with_the_load_balancer(api: Api, ids: dict[str, str]) -> None:
    api.delete(LoadBalancer, ids["load_balancers"], cascade=True)
    api.apply()
    assert (api.all(L7Policy), api.all(L7Rule)) == ((), ())


# --- providers


def test_what_providers_are_told(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="third")
    ids = with_policy(api)
    api.apply()
    api.update(L7Rule, ids["l7rules"], ids["l7policies"], key="k", value="/b")
    api.apply()
    api.update(L7Policy, ids["l7policies"], redirect_url="http://a.example")
    api.apply()
    api.delete(L7Policy, ids["l7policies"])
    told = {method: [each.to_dict(recurse=True) for each in given] for method, given in api.third.calls[-5:]}
    made = {"l7policy_id": ids["l7policies"], "listener_id": ids["listeners"], "position": 1, "rules": []}
    assert made.items() <= told["l7policy_create"][0].items()
    assert told["l7policy_create"][0]["redirect_pool_id"] == ids["spare"]
    rule = {
        "l7rule_id": ids["l7rules"],
        "l7policy_id": ids["l7policies"],
        "key": None,
        **PATH,
        "invert": False,
    }
    assert rule.items() <= told["l7rule_create"][0].items()
    assert told["l7rule_update"][1] == {"l7rule_id": ids["l7rules"], "key": "k", "value": "/b"}
    assert told["l7policy_update"][1] == {
        "l7policy_id": ids["l7policies"], "action": "REDIRECT_TO_URL", "redirect_pool_id": None,
        "redirect_url": "http://a.example", "redirect_http_code": 302,
    }  # fmt: skip
    (going,) = told["l7policy_delete"]
    assert [each["l7rule_id"] for each in going["rules"]] == [ids["l7rules"]]


def test_the_noop_provider_is_done_at_once(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="noop_driver")
    ids = with_policy(api)
    api.update(L7Rule, ids["l7rules"], ids["l7policies"], invert=True)
    assert {status for each in api.statuses().values() for status in each} == {A}
    api.delete(L7Rule, ids["l7rules"], ids["l7policies"])
    api.delete(L7Policy, ids["l7policies"])
    assert (api.all(L7Policy), api.all(L7Rule)) == ((), ())
    assert [method for method, _ in api.noop.calls][-5:] == [
        "l7policy_create", "l7rule_create", "l7rule_update", "l7rule_delete", "l7policy_delete",
    ]  # fmt: skip


# --- nested


def nested(*policies: dict[str, Any], **listener: Any) -> dict[str, Any]:
    body = copy.deepcopy(GRAPH)
    body["listeners"][0].update({"l7policies": list(policies), **listener})  # type: ignore[attr-defined, index]
    return body


def test_policies_in_a_fully_populated_create(api: Api) -> None:
    body = nested(
        {
            "action": "REDIRECT_TO_POOL",
            "redirect_pool": {"name": "q", **WEB},
            "rules": [PATH, {**PATH, "invert": True}],
        },
        {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "p"}, "position": 1, "name": "first"},
        {"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example", "tags": ["t"], "rules": None},
    )
    made = api.create(LoadBalancer, **body)
    first, second, third = made["listeners"][0]["l7policies"]
    pools = {pool["name"]: pool for pool in made["pools"]}
    assert [policy["position"] for policy in (first, second, third)] == [1, 2, 3]
    assert (first["name"], first["redirect_pool_id"], first["rules"]) == ("first", pools["p"]["id"], [])
    assert second["redirect_pool_id"] == pools["q"]["id"]
    assert sorted(rule["invert"] for rule in second["rules"]) == [False, True]
    assert (third["redirect_http_code"], list(third["tags"]), third["listener_id"]) == (
        302,
        ["t"],
        made["listeners"][0]["id"],
    )
    assert pools["q"]["listeners"] == [{"id": made["listeners"][0]["id"]}]
    api.apply()
    assert {status for each in api.statuses().values() for status in each} == {A}


NESTED: dict[str, tuple[dict[str, Any], type, str]] = {
    "pool does not fit": (
        nested({"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "q", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}),
        Invalid, "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'.",
    ),
    "pool not defined": (
        nested({"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "q"}}),
        Invalid, "Validation failure: Pool 'q' was referenced but no full definition was found.",
    ),
    "pool of another": (
        nested({"action": "REDIRECT_TO_POOL", "redirect_pool_id": NOBODY}), NotFound, f"Pool {NOBODY} not found.",
    ),
    "no pool": (
        nested({"action": "REDIRECT_TO_POOL"}),
        Invalid, "Invalid L7 Policy arguments: redirect_pool_id or redirect_pool must not be None",
    ),
    "listener": (
        nested({**REJECT, "listener_id": NOBODY}), Invalid, "Unknown attribute for argument l7policy_.l7policy: listener_id",
    ),
    "rule": (
        nested({**REJECT, "rules": [{**PATH, "compare_type": "REGEX", "value": "("}]}),
        Invalid, "Error parsing L7Rule: Unable to parse regular expression: missing closing parenthesis at position 1",
    ),
    "rule with a line break": (
        nested({**REJECT, "rules": [{**PATH, "value": "/a\n"}]}),
        Invalid, "Invalid input for field/attribute value. Value: '/a\\n'. Value should not contain control characters, nor others that do not print.",
    ),
    "rules": (nested({**REJECT, "rules": {}}), Invalid, "Invalid input for field/attribute rules. Value: '{}'. Expected a list of objects."),
    "policies": (nested(l7policies="x"), Invalid, "Invalid input for field/attribute l7policies. Value: 'x'. Expected a list of objects."),
    "redirect pool": (
        nested({**REJECT, "redirect_pool": "p"}), Invalid, "Invalid input for field/attribute redirect_pool. Value: 'p'. Expected an object.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NESTED)
def test_one_bad_policy_and_nothing_is_made(api: Api, case: str) -> None:
    body, error, message = NESTED[case]
    with api.unchanged(error, message):
        api.create(LoadBalancer, **body)


def test_fifty_nested_rules_and_no_more(api: Api) -> None:
    api.create(LoadBalancer, **nested({**REJECT, "rules": [PATH] * 50}))
    before = api.dump()
    with pytest.raises(Conflict, match=r"^Too many rules on L7 policy "):
        api.create(LoadBalancer, **nested({**REJECT, "rules": [PATH] * 51}))
    assert api.dump() == before
