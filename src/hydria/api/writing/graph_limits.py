"""The rate limit policies of a fully populated create (contract 1.10), by the rules of single creates."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hydria.api.call import Call
from hydria.api.writing import rate_limit_policy, rate_limit_rule, requests
from hydria.model import rules
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.statuses import ListenerProtocol

Body = Mapping[str, object]
Values = dict[str, object]
_NOT_NESTED = ("project_id", "tenant_id")  # which only a single create has


def read(call: Call, listener: Body, listener_id: str) -> tuple[list[Values], list[Values]]:
    """Parse the policies of a listener's body, and their rules; ids and references are filled in."""
    policies: list[Values] = []
    found: list[Values] = []
    for body in requests.records("rate_limit_policies", listener.get("rate_limit_policies")):
        unknown = (*_NOT_NESTED, "listener_id")
        values = requests.nested(call, RateLimitPolicy, body, unknown=unknown, listener_id=listener_id)
        policy_id = str(uuid.uuid4())
        policies.append({**values, "id": policy_id})
        given = requests.records("rules", body.get("rules"))
        if len(given) > rules.MOST_LIMIT_RULES:
            raise rate_limit_rule.too_many(policy_id)
        parsed = [requests.nested(call, RateLimitRule, rule, unknown=_NOT_NESTED) for rule in given]
        found += [{**rule, "rate_limit_policy_id": policy_id} for rule in parsed]
    if len(policies) > rules.MOST_LIMIT_POLICIES:
        raise rate_limit_policy.too_many(listener_id)
    return policies, found


def judged(
    policies: Sequence[Values], found: Sequence[Values], protocols: Mapping[object, ListenerProtocol]
) -> tuple[tuple[Values, ...], tuple[Values, ...]]:
    """Policies and rules completed by the rules. protocols: those of the listeners, by id."""
    listeners = {policy["id"]: policy["listener_id"] for policy in policies}
    windows: defaultdict[object, list[tuple[object, object]]] = defaultdict(list)
    for rule in found:
        windows[listeners[rule["rate_limit_policy_id"]]].append((rule["metric"], rule["interval"]))
    for listener_id, of_listener in windows.items():
        rules.windows_fit(str(listener_id), of_listener)
    return (
        tuple(rules.limit_policy_created(each, protocols[each["listener_id"]]) for each in policies),
        tuple(
            rules.limit_rule_created(each, protocols[listeners[each["rate_limit_policy_id"]]])
            for each in found
        ),
    )
