"""What the attributes of an L7 policy may be together (contract 1.15)."""

import pytest

from hydria.model import rules
from hydria.model.errors import Invalid
from hydria.model.l7policy import L7Policy
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import ListenerProtocol
from hydria.testing import trees

URL, PREFIX = "https://www.example.org/a?b=%20#c", "http://b.example"
WRONG = "Invalid L7 Policy arguments: "
BOTH = f"{WRONG}Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time"
NO_POOL = f"{WRONG}redirect_pool_id or redirect_pool must not be None"
TARGETS = ("action", "redirect_pool_id", "redirect_url", "redirect_prefix", "redirect_http_code")


def created(listener=ListenerProtocol.HTTP, **body):
    values = parse_create(L7Policy, {"listener_id": trees.LISTENER, **body}, {})
    completed = rules.policy_created(values, listener)
    return tuple(completed[field] for field in TARGETS)


def updated(stored, **body):
    policy = trees.policy(**stored)
    changes = rules.policy_updated(policy, parse_update(L7Policy, body, {}))
    return tuple(changes.get(field, getattr(policy, field)) for field in TARGETS)


CREATED = {
    "reject": ({"action": "REJECT"}, ("REJECT", None, None, None, None)),
    "reject drops the rest": (
        {"action": "REJECT", "redirect_url": URL, "redirect_http_code": 301}, ("REJECT", None, None, None, None),
    ),
    "pool": (
        {"action": "REDIRECT_TO_POOL", "redirect_pool_id": trees.POOL, "redirect_http_code": 301},
        ("REDIRECT_TO_POOL", trees.POOL, None, None, None),
    ),
    "url": ({"action": "REDIRECT_TO_URL", "redirect_url": URL}, ("REDIRECT_TO_URL", None, URL, None, 302)),
    "url with a code": (
        {"action": "REDIRECT_TO_URL", "redirect_url": URL, "redirect_http_code": "308", "redirect_prefix": PREFIX},
        ("REDIRECT_TO_URL", None, URL, None, 308),
    ),
    "prefix": (
        {"action": "REDIRECT_PREFIX", "redirect_prefix": PREFIX}, ("REDIRECT_PREFIX", None, None, PREFIX, 302),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CREATED)
def test_a_policy_has_what_its_action_needs_and_no_more(case):
    body, expected = CREATED[case]
    assert created(**body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"action": "REDIRECT_TO_URL"}, f"{WRONG}redirect_url must not be None"),
        ({"action": "REDIRECT_TO_URL", "redirect_prefix": PREFIX}, f"{WRONG}redirect_url must not be None"),
        ({"action": "REDIRECT_PREFIX", "redirect_prefix": None}, f"{WRONG}redirect_prefix must not be None"),
        ({"action": "REDIRECT_TO_POOL"}, NO_POOL),
        ({"action": "REDIRECT_TO_POOL", "redirect_pool_id": trees.POOL, "redirect_url": URL}, BOTH),
        ({"action": "REJECT", "redirect_pool_id": trees.POOL, "redirect_prefix": PREFIX}, BOTH),
    ],
)
def test_what_does_not_go_together_is_refused(body, message):
    with pytest.raises(Invalid) as refusal:
        created(**body)
    assert str(refusal.value) == message


def test_listeners_without_traffic_have_no_policies():
    with pytest.raises(Invalid, match=r"^Protocol PROMETHEUS listeners cannot have child objects\.$"):
        created(ListenerProtocol.PROMETHEUS, action="REJECT")


OF_URL = {"action": "REDIRECT_TO_URL", "redirect_url": URL, "redirect_http_code": 301}
OF_POOL = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": trees.POOL}
UPDATED = {
    "a target says which action": ({}, {"redirect_url": URL}, ("REDIRECT_TO_URL", None, URL, None, 302)),
    "and clears the others": (OF_POOL, {"redirect_prefix": PREFIX}, ("REDIRECT_PREFIX", None, None, PREFIX, 302)),
    "a code stays": (OF_URL, {"redirect_prefix": PREFIX}, ("REDIRECT_PREFIX", None, None, PREFIX, 301)),
    "a code goes with its action": (
        OF_URL, {"redirect_pool_id": trees.POOL}, ("REDIRECT_TO_POOL", trees.POOL, None, None, None),
    ),
    "null is the default code": (OF_URL, {"redirect_http_code": None}, ("REDIRECT_TO_URL", None, URL, None, 302)),
    "a code of nothing": (OF_POOL, {"redirect_http_code": 307}, ("REDIRECT_TO_POOL", trees.POOL, None, None, None)),
    "the action alone": (OF_URL, {"action": "REJECT"}, ("REJECT", None, None, None, None)),
    "the action that it has": (OF_URL, {"action": "REDIRECT_TO_URL"}, ("REDIRECT_TO_URL", None, URL, None, 301)),
    "of two targets the action's": (
        {}, {"action": "REDIRECT_PREFIX", "redirect_url": URL, "redirect_prefix": PREFIX},
        ("REDIRECT_PREFIX", None, None, PREFIX, 302),
    ),
    "null of what it has not": (OF_URL, {"redirect_pool_id": None}, ("REDIRECT_TO_URL", None, URL, None, 301)),
}  # fmt: skip


@pytest.mark.parametrize("case", UPDATED)
def test_a_change_is_judged_by_the_policy_that_it_leads_to(case):
    stored, body, expected = UPDATED[case]
    assert updated(stored, **body) == expected


@pytest.mark.parametrize(
    ("stored", "body", "message"),
    [
        ({}, {}, f"{WRONG}Invalid update options"),
        ({}, {"action": "REDIRECT_TO_POOL"}, NO_POOL),
        (OF_POOL, {"action": "REDIRECT_TO_URL"}, f"{WRONG}redirect_url must not be None"),
        (OF_URL, {"redirect_url": None}, f"{WRONG}redirect_url must not be None"),
        (OF_POOL, {"redirect_pool_id": None}, NO_POOL),
        ({}, {"redirect_pool_id": trees.POOL, "redirect_url": URL}, BOTH),
        (
            {},
            {"redirect_url": URL, "redirect_prefix": PREFIX},
            f"{WRONG}Cannot specify redirect_url and redirect_prefix without an action",
        ),
    ],
)
def test_a_change_that_is_refused(stored, body, message):
    with pytest.raises(Invalid) as refusal:
        updated(stored, **body)
    assert str(refusal.value) == message


def test_a_change_of_something_else_says_nothing_of_the_action():
    assert rules.policy_updated(trees.policy(**OF_POOL), {"name": "n", "position": 3}) == {
        "name": "n",
        "position": 3,
    }


@pytest.mark.parametrize(
    "url",
    [
        "www.example.org", "/path", "ftp://example.org/", "http://", "http:///a", "https://a b",
        'http://a/"', "http://a/\\", "http://a/%zz", "http://a/<", "javascript:alert(1)", "http://a/\u00e9",
    ],
)  # fmt: skip
def test_what_is_no_url(url):
    for field in ("redirect_url", "redirect_prefix"):
        with pytest.raises(Invalid, match=rf"field/attribute {field}\. .*Not a valid URL"):
            created(action="REJECT", **{field: url})


@pytest.mark.parametrize(
    "url",
    [
        "http://a", "HTTPS://A.example:8443/x/../y;z?q=[1]&r='2'#f", "http://[2001:db8::1]/", "http://u:p@h/?",
        "https://a.example?b", "http://a.example#f", "http://192.0.2.1:80/%C3%A9", "http://" + "a" * 248,
    ],
)  # fmt: skip
def test_what_is_a_url(url):
    assert created(action="REDIRECT_TO_URL", redirect_url=url)[2] == url


@pytest.mark.parametrize("code", [200, 300, 304, 305, 306, 309, "x", True, 302.5e9])
def test_what_is_no_code_of_a_redirect(code):
    with pytest.raises(Invalid, match=r"redirect_http_code.*Value should be one of: 301, 302, 303, 307, 308"):
        created(action="REDIRECT_TO_URL", redirect_url=URL, redirect_http_code=code)
