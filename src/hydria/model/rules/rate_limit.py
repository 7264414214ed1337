"""Rules of rate limit policies and their rules (contract 4.16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hydria.model.errors import Conflict, Invalid
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.rules import draft
from hydria.model.statuses import ListenerProtocol, RateLimitAction, RateLimitMetric

MOST_LIMIT_POLICIES = 10  # of one listener
MOST_LIMIT_RULES = 10  # of one policy
# Windows of one listener: HAProxy counts a connection in so many tables.
MOST_WINDOWS = 3
# Counters of bytes have 32 bits, and a client that is beyond its limit may still be receiving.
MOST_KBYTES = 2**31 // 1024

_HTTP = (ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS)
_OF_REQUESTS = (RateLimitAction.DENY, RateLimitAction.QUEUE)


def limit_policy_created(
    values: Mapping[str, object], listener_protocol: ListenerProtocol
) -> dict[str, object]:
    """A new policy's values."""
    if listener_protocol is ListenerProtocol.PROMETHEUS:
        raise Invalid(f"Protocol {listener_protocol} listeners cannot have child objects.")
    _action_fits(draft.created(RateLimitPolicy, values), listener_protocol)
    return dict(values)


def limit_policy_updated(
    policy: RateLimitPolicy, changes: Mapping[str, object], listener_protocol: ListenerProtocol
) -> dict[str, object]:
    """A policy's changes."""
    _action_fits(draft.updated(policy, changes), listener_protocol)
    return dict(changes)


def limit_rule_created(
    values: Mapping[str, object], listener_protocol: ListenerProtocol
) -> dict[str, object]:
    """A new rule's values."""
    _metric_fits(draft.created(RateLimitRule, values), listener_protocol)
    return dict(values)


def limit_rule_updated(
    rule: RateLimitRule, changes: Mapping[str, object], listener_protocol: ListenerProtocol
) -> dict[str, object]:
    """A rule's changes."""
    _metric_fits(draft.updated(rule, changes), listener_protocol)
    return dict(changes)


def windows_fit(listener_id: str, rules: Iterable[tuple[object, object]]) -> None:
    """Raise Conflict where the rules of a listener, each its metric and interval, look at too many windows.

    Rules with the same interval share one; those that count by URL have their own.
    """
    windows = {(metric is RateLimitMetric.REQUESTS_PER_URL, interval) for metric, interval in rules}
    if len(windows) > MOST_WINDOWS:
        raise Conflict(
            f"The rate limit rules of listener {listener_id} would have {len(windows)} different intervals"
            f" (those of {RateLimitMetric.REQUESTS_PER_URL} count by themselves); at most {MOST_WINDOWS} are"
            " possible. Use an interval that another of its rules has."
        )


def _action_fits(policy: RateLimitPolicy, protocol: ListenerProtocol) -> None:
    if policy.action in _OF_REQUESTS and protocol not in _HTTP:
        raise Invalid(
            f"The action {policy.action} is about HTTP requests, which {protocol} listeners do not see. Use"
            f" {RateLimitAction.REJECT} or {RateLimitAction.SILENT_DROP}."
        )


def _metric_fits(rule: RateLimitRule, protocol: ListenerProtocol) -> None:
    if rule.metric is RateLimitMetric.KBYTES and rule.threshold > MOST_KBYTES:
        raise Invalid(
            f"The threshold of {rule.metric} is {rule.threshold}; at most {MOST_KBYTES} can be counted."
        )
    if rule.metric is not RateLimitMetric.REQUESTS_PER_URL:
        return
    if protocol not in _HTTP:
        raise Invalid(
            f"The metric {rule.metric} is about HTTP requests, which {protocol} listeners do not see."
        )
    if not rule.urls:
        raise Invalid(f"The metric {rule.metric} needs urls, the paths whose requests are counted.")
