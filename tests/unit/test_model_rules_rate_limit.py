"""What rate limit policies and their rules can be, and on which listeners."""

import pytest

from hydria.model import rules
from hydria.model.errors import Conflict, Invalid
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import ListenerProtocol, RateLimitAction, RateLimitMetric
from hydria.testing import trees

REQUESTS, PER_URL, KBYTES = RateLimitMetric.REQUESTS, RateLimitMetric.REQUESTS_PER_URL, RateLimitMetric.KBYTES
HTTP = (ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS)
OTHERS = (ListenerProtocol.TCP, ListenerProtocol.HTTPS, ListenerProtocol.UDP, ListenerProtocol.SCTP)


def policy(protocol=ListenerProtocol.HTTP, **body):
    values = parse_create(RateLimitPolicy, {"listener_id": trees.LISTENER, **body}, {})
    return rules.limit_policy_created(values, protocol)


def rule(protocol=ListenerProtocol.HTTP, **body):
    return rules.limit_rule_created(parse_create(RateLimitRule, body, {}), protocol)


def test_defaults():
    made = policy(action="DENY")
    assert (made["admin_state_up"], made["name"], made["action"]) == (True, "", RateLimitAction.DENY)
    made = rule(metric="REQUESTS", threshold=5)
    assert (made["interval"], made["urls"], made["name"]) == (30, None, "")
    assert parse_update(RateLimitRule, {"interval": None, "urls": None}, {}) == {"interval": 30, "urls": None}


def test_the_names_that_the_specification_has():
    assert policy(action="QUEUE", enabled=False)["admin_state_up"] is False
    with pytest.raises(Invalid, match=r"argument ratelimitpolicy_\.ratelimitpolicy: admin_state_up"):
        policy(action="QUEUE", admin_state_up=False)
    with pytest.raises(Invalid, match=r"argument ratelimitrule_\.rule: enabled"):
        rule(metric="REQUESTS", threshold=5, enabled=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"metric": "PACKETS"}, "Value should be one of: REQUESTS, REQUESTS_PER_URL, KBYTES"),
        ({"threshold": 0}, "Value should be greater or equal to 1"),
        ({"interval": 0}, "Value should be greater or equal to 1"),
        ({"interval": 86_401}, "Value should be lower or equal to 86400"),
        ({"urls": ["a"]}, "Value should be a path"),
        ({"urls": ["/a?b"]}, "Value should be a path"),
        ({"urls": ["/a b"]}, "Value should be a path"),
        ({"urls": [f"/{number}" for number in range(101)]}, "at most 100 items"),
    ],
)
def test_values_that_are_none(body, message):
    with pytest.raises(Invalid) as refusal:
        rule(**{"metric": "REQUESTS", "threshold": 5, **body})
    assert message in str(refusal.value)


@pytest.mark.parametrize("protocol", HTTP)
def test_listeners_that_see_requests_have_everything(protocol):
    for action in RateLimitAction:
        assert policy(protocol, action=str(action))["action"] is action
    for metric in RateLimitMetric:
        assert rule(protocol, metric=str(metric), threshold=5, urls=["/a"])["metric"] is metric


@pytest.mark.parametrize("protocol", OTHERS)
def test_listeners_that_see_connections_alone(protocol):
    for action in (RateLimitAction.REJECT, RateLimitAction.SILENT_DROP):
        policy(protocol, action=str(action))
    for metric in (REQUESTS, KBYTES):
        rule(protocol, metric=str(metric), threshold=5)
    stored = trees.limit_policy(action=RateLimitAction.REJECT)
    for action in (RateLimitAction.DENY, RateLimitAction.QUEUE):
        message = (
            f"The action {action} is about HTTP requests, which {protocol} listeners do not see. Use REJECT or"
            " SILENT_DROP."
        )
        with pytest.raises(Invalid, match=message):
            policy(protocol, action=str(action))
        with pytest.raises(Invalid, match=message):
            rules.limit_policy_updated(stored, {"action": action}, protocol)
    message = f"REQUESTS_PER_URL is about HTTP requests, which {protocol} listeners do not see"
    with pytest.raises(Invalid, match=message):
        rule(protocol, metric="REQUESTS_PER_URL", threshold=5, urls=["/a"])
    with pytest.raises(Invalid, match=message):
        rules.limit_rule_updated(trees.limit_rule(urls=["/a"]), {"metric": PER_URL}, protocol)


def test_metrics_listeners_have_none():
    with pytest.raises(Invalid, match="Protocol PROMETHEUS listeners cannot have child objects"):
        policy(ListenerProtocol.PROMETHEUS, action="REJECT")


def test_requests_to_urls_need_urls():
    for urls in (None, []):
        with pytest.raises(Invalid, match="The metric REQUESTS_PER_URL needs urls"):
            rule(metric="REQUESTS_PER_URL", threshold=5, urls=urls)
    http = ListenerProtocol.HTTP
    with pytest.raises(Invalid, match="needs urls"):
        rules.limit_rule_updated(trees.limit_rule(), {"metric": PER_URL}, http)
    with pytest.raises(Invalid, match="needs urls"):
        rules.limit_rule_updated(trees.limit_rule(metric=PER_URL, urls=["/a"]), {"urls": None}, http)
    change = {"metric": PER_URL, "urls": ["/a"]}
    assert rules.limit_rule_updated(trees.limit_rule(), change, http) == change
    # Others do not look at them, and keep them for when they are needed.
    assert rule(metric="KBYTES", threshold=5, urls=["/a"])["urls"] == ["/a"]


def test_bytes_are_counted_up_to_what_a_counter_holds():
    assert rule(metric="KBYTES", threshold=2**21)["threshold"] == 2**21
    with pytest.raises(Invalid, match="The threshold of KBYTES is 2097153; at most 2097152 can be counted"):
        rule(metric="KBYTES", threshold=2**21 + 1)
    with pytest.raises(Invalid, match="at most 2097152 can be counted"):
        rules.limit_rule_updated(
            trees.limit_rule(threshold=2**31 - 1), {"metric": KBYTES}, ListenerProtocol.TCP
        )
    assert rule(metric="REQUESTS", threshold=2**31 - 1)


def test_a_listener_looks_at_three_windows_at_most():
    rules.windows_fit("l", [])
    rules.windows_fit("l", [(REQUESTS, 1), (KBYTES, 1), (REQUESTS, 2), (KBYTES, 3), (REQUESTS, 3)])
    rules.windows_fit("l", [(REQUESTS, 1), (PER_URL, 1), (PER_URL, 2), (PER_URL, 2)])
    with pytest.raises(Conflict, match="listener l would have 4 different intervals"):
        rules.windows_fit("l", [(REQUESTS, 1), (KBYTES, 2), (PER_URL, 1), (PER_URL, 2)])
