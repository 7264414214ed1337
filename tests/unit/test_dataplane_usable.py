"""What of a load balancer can be served when something of it cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from hydria.dataplane import Tuning, Unwritable, haproxy
from hydria.dataplane.usable import Unusable, Usable, usable
from hydria.model import recall, secrets
from hydria.model.modification import FixedResponse
from hydria.model.statuses import (
    ClientAuthentication,
    CompareType,
    ListenerProtocol,
    PolicyAction,
    ProvisioningStatus,
    RuleType,
)
from hydria.model.tree import Tree
from hydria.testing import trees as make

TLS, POOL = make.listener(2).id, make.POOL
TERMINATING = {"protocol": ListenerProtocol.TERMINATED_HTTPS, "default_tls_container_ref": "default"}
VERIFYING = {
    "client_ca_tls_container_ref": "ca",
    "client_crl_container_ref": "crl",
    "client_authentication": ClientAuthentication.MANDATORY,
}


def served(*gone: str, of_listener: Any = None, of_pool: Any = None, refused: Any = None) -> Usable:
    """Of an HTTP listener and one that terminates TLS, with a pool for both."""
    tree = make.tree(
        make.listener(1, default_pool_id=POOL),
        make.listener(2, default_pool_id=POOL, **{**TERMINATING, **(of_listener or {})}),
        make.pool(**(of_pool or {})),
        make.member(),
        make.monitor(),
        make.policy(),
        make.rule(1),
        make.rule(2),
        make.policy(2, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=POOL),
        make.rule(3, l7policy_id=make.policy(2).id),
    )
    return usable(tree, Unusable(missing={key: f"{key} is gone." for key in gone}, refused=refused or {}))


def listeners(found: Usable) -> list[str]:
    return [listener.id for listener in found.tree.listeners]


def config(tree: Tree) -> str:
    references = secrets.of((*tree.listeners, *tree.pools))
    return haproxy.render(tree.desired(), Tuning(), dict.fromkeys(references, "pem")).config


def test_where_nothing_is_unusable_nothing_is_left_out() -> None:
    found = served()
    assert (len(found.tree.listeners), found.faults) == (2, {})


@pytest.mark.parametrize(
    ("gone", "of_listener"),
    [
        ("default", {}),
        ("default", {"sni_container_refs": ["other"]}),
        ("sni", {"default_tls_container_ref": None, "sni_container_refs": ["sni"]}),
        ("ca", VERIFYING),
        ("crl", VERIFYING),
        ("ca", VERIFYING | {"client_authentication": ClientAuthentication.OPTIONAL}),
    ],
)
def test_a_listener_that_cannot_do_without_is_left_out_alone(gone: str, of_listener: Any) -> None:
    found = served(gone, of_listener=of_listener)
    assert listeners(found) == [make.LISTENER]
    assert list(found.faults) == [TLS]
    assert f"{gone} is gone." in found.faults[TLS]
    assert "not served" in found.faults[TLS]


def served_tls(*gone: str, **of_listener: Any) -> tuple[Any, str]:
    found = served(*gone, of_listener=of_listener)
    assert listeners(found) == [make.LISTENER, TLS]
    return found.tree.listeners[1], found.faults[TLS]


def test_one_name_of_several_is_missed_and_the_others_are_served() -> None:
    listener, fault = served_tls("b", sni_container_refs=["a", "b", "c"])
    assert listener.sni_container_refs == ["a", "c"]
    assert listener.default_tls_container_ref == "default"
    assert fault == "b is gone. The listener serves without it."


def test_who_is_not_verified_needs_no_authority() -> None:
    of = VERIFYING | {"client_authentication": ClientAuthentication.NONE}
    listener, fault = served_tls("ca", **of)
    assert (listener.client_ca_tls_container_ref, listener.client_crl_container_ref) == (None, None)
    assert "ca is gone" in fault


@pytest.mark.parametrize("field", ["tls_container_ref", "ca_tls_container_ref", "crl_container_ref"])
def test_a_pool_that_lacks_something_connects_to_nobody(field: str) -> None:
    found = served("secret", of_pool={"tls_enabled": True, field: "secret"})
    assert list(found.faults) == [POOL]
    assert listeners(found) == [make.LISTENER, TLS]
    text = config(found.tree)
    assert "    server " not in text
    # What is sent to it stays there, also by policy: it must not go to another pool.
    assert text.count(f"default_backend {POOL}") == 2
    assert f"use_backend {POOL}" in text


@pytest.mark.parametrize(
    ("of_listener", "of_pool", "of_balancer"),
    [
        ({"admin_state_up": False}, {}, {}),
        ({}, {"tls_enabled": False}, {}),
        ({}, {"tls_enabled": True, "admin_state_up": False}, {}),
        ({}, {"tls_enabled": True}, {"admin_state_up": False}),
    ],
)
def test_what_is_not_in_use_needs_nothing(of_listener: Any, of_pool: Any, of_balancer: Any) -> None:
    balancer = make.load_balancer(**of_balancer)
    listener = make.listener(2, **TERMINATING, **of_listener)
    pool = make.pool(ca_tls_container_ref="ca", **of_pool)
    needed = secrets.in_use(balancer, [listener, pool])
    assert ("default" in needed) == (listener.admin_state_up and balancer.admin_state_up)
    assert "ca" not in needed
    found = usable(
        make.tree(balancer, listener, pool),
        Unusable(missing={"ca": "gone"} if needed else {"default": "gone", "ca": "gone"}),
    )
    assert found.faults == {}


def test_a_plain_listener_that_names_a_certificate_does_not_need_it() -> None:
    assert secrets.in_use(make.load_balancer(), [make.listener(default_tls_container_ref="x")]) == {}


def test_what_amphorae_go_on_with_is_a_fault_and_nothing_is_left_out() -> None:
    tree = make.tree(make.listener(2, **TERMINATING))
    found = usable(tree, Unusable(kept={"default": "default is gone."}))
    assert listeners(found) == [TLS]
    assert found.faults == {TLS: "default is gone. Amphorae that have it go on with it."}


ELSEWHERE = {"action": PolicyAction.REDIRECT_TO_URL, "redirect_url": "http://a.example/"}
NOT_FOUND = FixedResponse(status=404)
FOUND = FixedResponse(status=200)
ANSWER = PolicyAction.FIXED_RESPONSE


def of_policy(policy: Any, *refused: str) -> Usable:
    """Of one policy with two rules."""
    tree = make.tree(make.listener(), make.policy(**policy), make.rule(1), make.rule(2))
    return usable(tree, Unusable(refused=dict.fromkeys(refused, "no such class")))


@pytest.mark.parametrize("policy", [ELSEWHERE, {"action": ANSWER, "fixed_response": FOUND}])
def test_a_refused_rule_takes_its_policy_along_and_nothing_else(policy: Any) -> None:
    """One that was served already: without it the policy would match more than it ever did."""
    found = of_policy(policy, make.RULE)
    assert (found.tree.l7policies, found.tree.l7rules) == ((), ())
    assert set(found.faults) == {make.RULE, make.POLICY}
    assert "decides nothing" in found.faults[make.POLICY]
    assert make.RULE in found.faults[make.POLICY]
    assert "no such class" in found.faults[make.POLICY]


@pytest.mark.parametrize("policy", [{}, {"action": ANSWER, "fixed_response": NOT_FOUND}])
@pytest.mark.parametrize("refused", [(make.RULE,), (make.RULE, make.rule(2).id)])
def test_what_is_to_be_refused_stays_refused_without_a_rule_that_cannot_be_used(
    policy: Any, refused: tuple[str, ...]
) -> None:
    """Such a rule counts as met, whoever it is: nobody can tell whether it would be."""
    found = of_policy(policy, *refused)
    assert [each.id for each in found.tree.l7policies] == [make.POLICY]
    rules = {rule.id: (rule.type, rule.value, rule.invert) for rule in found.tree.l7rules}
    assert rules == {
        make.RULE: (RuleType.METHOD, "-", True),
        make.rule(2).id: (RuleType.METHOD, "-", True) if len(refused) > 1 else (RuleType.PATH, "/2", False),
    }
    assert set(found.faults) == {make.POLICY, *refused}
    assert "refuses whatever its other rules match" in found.faults[make.POLICY]


def test_an_error_that_cannot_be_answered_is_a_refusal() -> None:
    found = of_policy({"action": ANSWER, "fixed_response": NOT_FOUND}, make.POLICY)
    assert [(each.action, each.fixed_response) for each in found.tree.l7policies] == [
        (PolicyAction.REJECT, None)
    ]
    assert found.faults == {make.POLICY: "no such class"}
    assert of_policy({"action": ANSWER, "fixed_response": FOUND}, make.POLICY).tree.l7policies == ()


NEW = ProvisioningStatus.PENDING_CREATE


@pytest.mark.parametrize(
    ("policy", "rules", "left"),
    [
        # Added to a policy that is served: that goes on without it.
        ({}, ({}, {"provisioning_status": NEW}), [make.RULE]),
        ({}, ({}, {"provisioning_status": ProvisioningStatus.ERROR}), [make.RULE]),
        ({}, ({}, {"provisioning_status": ProvisioningStatus.PENDING_UPDATE, "previous": {}}), [make.RULE]),
        # Nothing is left of it, or nothing was served: it would match what it never should.
        ({}, ({"admin_state_up": False}, {"provisioning_status": NEW}), []),
        ({"provisioning_status": NEW}, ({}, {"provisioning_status": NEW}), []),
        ({"provisioning_status": ProvisioningStatus.ERROR}, ({}, {"provisioning_status": NEW}), []),
    ],
)
def test_a_policy_goes_on_without_a_new_rule_that_is_refused(
    policy: Any, rules: Any, left: list[str]
) -> None:
    second = make.rule(2).id
    tree = make.tree(
        make.listener(),
        make.policy(**ELSEWHERE, **policy),
        make.rule(1, **rules[0]),
        make.rule(2, **rules[1]),
    )
    found = usable(tree, Unusable(refused={second: "why"}))
    assert [rule.id for rule in found.tree.l7rules] == left
    assert set(found.faults) == ({second} if left else {second, make.POLICY})


def test_what_was_changed_into_something_refused_is_served_as_it_was() -> None:
    previous = {"value": "/before", "compare_type": "STARTS_WITH"}
    rule = make.rule(value="[[:no:]]", compare_type=CompareType.REGEX, previous=previous)
    tree = make.tree(make.listener(), make.policy(**ELSEWHERE), rule)
    found = usable(tree, Unusable(refused={make.RULE: "no such class."}))
    assert [(each.value, each.compare_type) for each in found.tree.l7rules] == [
        ("/before", CompareType.STARTS_WITH)
    ]
    assert found.faults == {make.RULE: "no such class. It is served as it was before."}
    hopeless = usable(tree, Unusable(refused={make.RULE: "why"}, hopeless={make.RULE}))
    assert set(hopeless.faults) == {make.RULE, make.POLICY}
    assert hopeless.tree.l7policies == ()


def test_a_listener_and_a_pool_as_they_were_have_their_structures_again() -> None:
    before = {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "a"}, "tls_enabled": False}
    tree = make.tree(
        make.listener(2, default_pool_id=POOL, **TERMINATING, previous={"default_tls_container_ref": "old"}),
        make.pool(tls_enabled=True, previous=before),
    )
    found = usable(tree, Unusable(refused={TLS: "x", POOL: "y"}))
    assert secrets.of((*found.tree.listeners, *found.tree.pools)) == {"old": "certificate"}
    assert "stick match req.cook(a)" in haproxy.render(found.tree, Tuning(), {"old": None}).config


@pytest.mark.parametrize(
    ("status", "known", "expected"),
    [
        ("ACTIVE", None, {"name": "rule"}),
        ("ACTIVE", {"name": "older"}, {"name": "rule"}),
        ("PENDING_UPDATE", None, {"name": "rule"}),
        ("PENDING_UPDATE", {"name": "served"}, {"name": "served"}),
        ("ERROR", {"value": "served"}, {"name": "rule", "value": "served"}),
        ("PENDING_CREATE", None, {}),
        ("ERROR", None, {}),
        ("PENDING_UPDATE", {}, {}),
    ],
)
def test_what_a_change_goes_back_to(status: str, known: Any, expected: dict[str, object]) -> None:
    item = make.pool(name="rule", provisioning_status=ProvisioningStatus(status), previous=known)
    assert recall.before(item, {"name": "new", "tags": ["x"], "nothing": 1}) == expected


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (make.LISTENER, f"frontend {make.LISTENER}"),
        (make.MONITOR, "httpchk"),
        (make.MEMBER, f"server {make.MEMBER}"),
        (make.POLICY, f"acl {make.RULE}"),
        (POOL, "    server "),
    ],
)
def test_what_is_refused_is_not_in_the_configuration(refused: str, words: str) -> None:
    assert words in config(served().tree)
    found = served(refused={refused: "why"})
    assert words not in config(found.tree)
    assert found.faults == {refused: "why"}


def test_whose_text_cannot_be_written_is_known() -> None:
    tree = make.tree(make.listener(), make.policy(), make.rule(1), make.rule(2, value="/\n/"))
    with pytest.raises(Unwritable) as refusal:
        haproxy.render(tree, Tuning())
    assert refusal.value.owner == make.rule(2).id


def test_each_line_knows_whose_it_is() -> None:
    found = haproxy.render(served().tree, Tuning(), {"default": "pem"})
    owners = dict(zip(found.config.splitlines(), found.owners, strict=True))
    assert len(found.owners) == len(found.config.splitlines())
    assert owners["global"] == ""
    assert owners[f"frontend {TLS}"] == TLS
    assert {owner for line, owner in owners.items() if "acl " in line} >= {make.RULE, make.rule(3).id}
    assert {owner for line, owner in owners.items() if "http-request deny" in line} == {make.POLICY}
    assert {owner for line, owner in owners.items() if "httpchk" in line} == {make.MONITOR}
    assert {owner for line, owner in owners.items() if line.startswith("    server ")} == {POOL}
