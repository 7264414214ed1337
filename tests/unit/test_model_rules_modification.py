"""What L7 policies of Hydria's own actions can carry, and what they cannot."""

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.l7policy import L7Policy
from hydria.model.resource import build, parse_create, parse_update
from hydria.model.statuses import ListenerProtocol
from hydria.testing import trees

WRONG = "Invalid L7 Policy arguments: "
RESPONSE = {"status": 503, "content_type": "text/html", "body": "<p>soon</p>"}
SET = {"direction": "REQUEST", "operation": "SET", "name": "X-A", "value": "1"}
REMOVE = {"direction": "RESPONSE", "operation": "REMOVE", "name": "Server"}
REWRITE = {"prefix": "/old", "replacement": "/new"}
CARRIED = ("action", "fixed_response", "header_changes", "url_rewrite", "redirect_url")


def created(**body):
    values = parse_create(L7Policy, {"listener_id": trees.LISTENER, **body}, {})
    return rules.policy_created(values, ListenerProtocol.HTTP)


def as_stored(completed):
    base = {name: getattr(trees.policy(), name) for name in L7Policy.__struct_fields__}
    return base | {name: value for name, value in completed.items() if name in CARRIED}


def refused(**body):
    with pytest.raises(Invalid) as refusal:
        created(**body)
    return str(refusal.value)


def test_a_policy_carries_what_its_action_does_and_no_more():
    assert (
        created(action="FIXED_RESPONSE", fixed_response=RESPONSE, url_rewrite=REWRITE)["url_rewrite"] is None
    )
    made = created(
        action="MODIFY", header_changes=[SET, REMOVE], fixed_response=RESPONSE, redirect_http_code=301
    )
    assert [each["name"] for each in made["header_changes"]] == ["X-A", "Server"]
    assert (made["fixed_response"], made["redirect_http_code"]) == (None, None)
    assert created(action="REJECT", url_rewrite=REWRITE)["url_rewrite"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"action": "FIXED_RESPONSE"}, "fixed_response must not be None"),
        ({"action": "MODIFY"}, "header_changes or url_rewrite must not be None"),
        ({"action": "MODIFY", "header_changes": []}, "header_changes or url_rewrite must not be None"),
        (
            {"action": "FIXED_RESPONSE", "fixed_response": {"status": 204, "body": "x"}},
            "a response with the status 204 has no body.",
        ),
        (
            {"action": "FIXED_RESPONSE", "fixed_response": {"status": 200, "content_type": "a/b"}},
            "content_type is only for a fixed_response with a body.",
        ),
        (
            {"action": "MODIFY", "header_changes": [{**SET, "name": "Content-length"}]},
            "the header Content-length is part of the connection and cannot be changed.",
        ),
        (
            {"action": "MODIFY", "header_changes": [{**SET, "operation": "ADD", "name": "host"}]},
            "a request has one Host header: it can only be SET.",
        ),
        (
            {"action": "MODIFY", "header_changes": [{**SET, "value": None}]},
            "SET of the header X-A needs a value.",
        ),
        (
            {"action": "MODIFY", "header_changes": [{**REMOVE, "value": "1"}]},
            "REMOVE of the header Server needs no value.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(body, message):
    assert refused(**body) == f"{WRONG}{message}"


@pytest.mark.parametrize(
    "body",
    [
        {"fixed_response": {"status": 199}},
        {"fixed_response": {"status": 600}},
        {"fixed_response": {"body": "x"}},
        {"fixed_response": {"status": 200, "body": "two\nlines"}},
        {"fixed_response": {"status": 200, "body": "x" * 2049}},
        {"fixed_response": {"status": 200, "body": "x", "content_type": "text"}},
        {"fixed_response": {"status": 200, "body": "x", "content_type": "text/html\r\nX: y"}},
        {"fixed_response": {"status": 200, "more": 1}},
        {"header_changes": [{**SET, "name": "a b"}]},
        {"header_changes": [{**SET, "value": "a\r\nb"}]},
        {"header_changes": [{**SET, "value": " a"}]},
        {"header_changes": [{**SET, "operation": "set"}]},
        {"header_changes": [SET] * 21},
        {"header_changes": SET},
        {"url_rewrite": {"prefix": "/a"}},
        {"url_rewrite": {"prefix": "a", "replacement": "/b"}},
        {"url_rewrite": {"prefix": "/a", "replacement": "//evil.example"}},
        {"url_rewrite": {"prefix": "/a", "replacement": "/b?c"}},
        {"url_rewrite": {"prefix": "/a", "replacement": r"/\1"}},
        {"url_rewrite": {"prefix": "/a", "replacement": "/%zz"}},
    ],
)
def test_what_is_beyond_the_alphabet_or_the_bounds_is_refused(body):
    assert refused(action="REJECT", **body).startswith(
        ("Invalid input for field/attribute", "Unknown attribute")
    )


def test_what_a_change_gives_says_which_action_is_meant():
    policy = trees.policy()
    changes = rules.policy_updated(policy, parse_update(L7Policy, {"fixed_response": RESPONSE}, {}))
    assert changes["action"] == "FIXED_RESPONSE"
    both = parse_update(L7Policy, {"header_changes": [SET], "url_rewrite": REWRITE}, {})
    assert rules.policy_updated(policy, both)["action"] == "MODIFY"
    with pytest.raises(Invalid) as refusal:
        rules.policy_updated(
            policy, parse_update(L7Policy, {"redirect_url": "http://a/", "url_rewrite": REWRITE}, {})
        )
    assert str(refusal.value) == f"{WRONG}Cannot specify redirect_url and url_rewrite without an action"


def test_a_stored_policy_changes():
    policy = build(L7Policy, as_stored(created(action="MODIFY", header_changes=[SET, REMOVE])))
    gone = rules.policy_updated(policy, parse_update(L7Policy, {"action": "REJECT"}, {}))
    assert (gone["action"], gone["header_changes"]) == ("REJECT", None)
    with pytest.raises(Invalid, match="header_changes or url_rewrite must not be None"):
        rules.policy_updated(policy, parse_update(L7Policy, {"header_changes": None}, {}))
    changed = rules.policy_updated(
        policy, parse_update(L7Policy, {"header_changes": None, "url_rewrite": REWRITE}, {})
    )
    assert (changed["header_changes"], changed["url_rewrite"]) == (None, REWRITE)
    assert rules.policy_updated(policy, {"name": "n"}) == {"name": "n"}
