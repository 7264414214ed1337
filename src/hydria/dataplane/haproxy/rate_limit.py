"""Rate limit policies as HAProxy's rules over stick tables (contract 4.16).

A table counts what each client does in a window that slides: HAProxy's rates. Rules with the same interval
look at the same table, and what is counted of requests to single URLs has tables of its own. Only what is let
through counts, so a client that does not give up still gets its share.

The numbers are in a map, by which a running process takes them up: thresholds, URLs, and what each policy
does, if it is enabled. Policies and rules have numbers rather than ids, so that others of the same shape are
the same configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hydria.dataplane.haproxy import holding, paths
from hydria.dataplane.haproxy.files import Files
from hydria.dataplane.haproxy.process import PEERS
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.listener import Listener
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.statuses import RateLimitAction, RateLimitMetric

_CLIENT, _CLIENT_URL = "txn.client", "txn.client_url"
_REFUSAL = "txn.refusal"
_KBYTE = 1024


@dataclass(frozen=True, slots=True)
class Limit:
    """A policy with its rules, at least one."""

    policy: RateLimitPolicy
    rules: tuple[RateLimitRule, ...]


@dataclass(frozen=True, slots=True, order=True)
class _Window:
    """What is counted in one table. interval: seconds."""

    interval: int
    per_url: bool

    def table(self, listener: Listener) -> str:
        return f"{listener.id}.{'url' if self.per_url else 'client'}.{self.interval}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule by its number among all of the listener's."""

    number: int
    rule: RateLimitRule
    table: str

    @property
    def per_url(self) -> bool:
        return self.rule.metric is RateLimitMetric.REQUESTS_PER_URL

    @property
    def of_bytes(self) -> bool:
        return self.rule.metric is RateLimitMetric.KBYTES

    @property
    def key(self) -> str:
        return _CLIENT_URL if self.per_url else _CLIENT

    @property
    def limit(self) -> str:
        return f"txn.limit{self.number}"

    @property
    def broken(self) -> str:
        return f"limit{self.number}"


@dataclass(frozen=True, slots=True)
class _Policy:
    number: int
    policy: RateLimitPolicy
    rules: tuple[_Rule, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """The condition that holds where all its rules are broken."""
        return tuple(rule.broken for rule in self.rules)


def tables(section: Section, listener: Listener, limits: Sequence[Limit], mode: str, tuning: Tuning) -> None:
    """Add the listener's tables to the section of what the next process is taught.

    Entries outlive what they count: a rate falls for as long as it was counted.
    """
    for window in _windows(limits):
        kind = ("binary", "len", "20") if window.per_url else ("ipv6",)
        period = f"({window.interval}s)"
        stored = [_requests(mode) + period]
        if not window.per_url:
            stored += [f"bytes_in_rate{period}", f"bytes_out_rate{period}"]
        section.add(
            *("table", window.table(listener), "type", *kind, "size", tuning.stick_size),
            *("expire", f"{2 * window.interval}s", "store", ",".join(stored)),
        )


def looks_at_paths(limits: Iterable[Limit]) -> bool:
    """Whether a rule of the policies is about the path of requests."""
    return any(window.per_url for window in _windows(limits))


def limit(
    section: Section,
    listener: Listener,
    limits: Sequence[Limit],
    mode: str,
    files: Files,
    tuning: Tuning,
) -> None:
    """Add the policies of a listener to its frontend, before anything else is done with a request."""
    if not limits:
        return
    policies = tuple(_numbered(listener, limits))
    rules = [rule for policy in policies for rule in policy.rules]
    numbers = files.map(listener.id, _numbers(policies))
    do = ("http-request",) if mode == "http" else ("tcp-request", "content")
    for rule in rules:
        section.add("acl", rule.broken, f"{_measured(rule, mode)},sub({rule.limit})", "ge", 0)
    section.add(*do, f"set-var({_CLIENT})", f"src,{tuning.client_mask}")
    if any(rule.per_url for rule in rules):
        section.add(*do, f"set-var({_CLIENT_URL})", f"var({_CLIENT}),concat(,{paths.NORMAL}),sha1")
    for rule in rules:
        key = f"str({rule.number}),concat(,{paths.NORMAL})" if rule.per_url else f"str({rule.number})"
        section.add(*do, f"set-var({rule.limit})", f"{key},map({numbers}),add(0)")
    _refuse(section, do, policies, numbers)
    if mode == "http":
        for policy in policies:
            queued = ("{", f"str({_queued(policy)}),map({numbers})", "-m", "found", "}")
            section.add(*do, holding.ACTION, _described(policy), "if", *policy.broken, *queued)
        _refuse(section, do, policies, numbers, "{", f"var({holding.HELD})", "-m", "bool", "}")
    _count(section, do, listener, limits, rules)


def _windows(limits: Iterable[Limit]) -> list[_Window]:
    return sorted({_window(rule) for limit in limits for rule in limit.rules})


def _window(rule: RateLimitRule) -> _Window:
    return _Window(rule.interval, rule.metric is RateLimitMetric.REQUESTS_PER_URL)


def _numbered(listener: Listener, limits: Sequence[Limit]) -> Iterator[_Policy]:
    number = 0
    for place, each in enumerate(limits, start=1):
        rules = []
        for rule in each.rules:
            number += 1
            rules.append(_Rule(number, rule, f"{PEERS}/{_window(rule).table(listener)}"))
        yield _Policy(place, each.policy, tuple(rules))


def _numbers(policies: Iterable[_Policy]) -> Iterator[tuple[str, str]]:
    """The map: what changes while a process runs."""
    for policy in policies:
        for rule in policy.rules:
            threshold = rule.rule.threshold * (_KBYTE if rule.of_bytes else 1)
            urls = dict.fromkeys(map(paths.normal, rule.rule.urls or ()))
            for url in urls if rule.per_url else ("",):
                yield f"{rule.number}{url}", str(threshold)
        if not policy.policy.admin_state_up:
            continue
        if policy.policy.action is RateLimitAction.QUEUE:
            yield _queued(policy), "1"
        else:
            yield _refused(policy), str(policy.policy.action)


def _refused(policy: _Policy) -> str:
    return f"refuse{policy.number}"


def _queued(policy: _Policy) -> str:
    return f"queue{policy.number}"


def _requests(mode: str) -> str:
    return "http_req_rate" if mode == "http" else "conn_rate"


def _measured(rule: _Rule, mode: str) -> str:
    """What the client has done in the window that the rule looks at."""
    if rule.of_bytes:
        return f"var({rule.key}),table_bytes_in_rate({rule.table}),add({_sent(rule)})"
    return f"var({rule.key}),table_{_requests(mode)}({rule.table})"


def _sent(rule: _Rule) -> str:
    return f"txn.sent{rule.rule.interval}"


def _refuse(
    section: Section, do: tuple[str, ...], policies: Sequence[_Policy], numbers: str, *conditions: str
) -> None:
    """Refuse the request if a policy says so: the first of those that do, so it is asked last."""
    behind = ("if", *conditions) if conditions else ()
    for rule in {_sent(rule): rule for policy in policies for rule in policy.rules if rule.of_bytes}.values():
        sent = f"var({rule.key}),table_bytes_out_rate({rule.table})"
        section.add(*do, f"set-var({_sent(rule)})", sent, *behind)
    for policy in reversed(policies):
        action = f"str({_refused(policy)}),map({numbers})"
        section.add(*do, f"set-var({_REFUSAL})", action, "if", *conditions, *policy.broken)
    answers = {
        RateLimitAction.DENY: ("deny", "deny_status", 429),
        RateLimitAction.REJECT: ("reject",),
        RateLimitAction.SILENT_DROP: ("silent-drop",),
    }
    for action, words in answers.items():
        if action is RateLimitAction.DENY and do != ("http-request",):
            continue
        section.add(*do, *words, "if", *conditions, "{", f"var({_REFUSAL})", "-m", "str", action, "}")


def _described(policy: _Policy) -> str:
    """The policy's rules as the action that holds requests back takes them."""
    return " ".join(
        f"{rule.table} {'bytes' if rule.of_bytes else 'requests'} {rule.key} {rule.limit}"
        for rule in policy.rules
    )


def _count(
    section: Section, do: tuple[str, ...], listener: Listener, limits: Sequence[Limit], rules: Sequence[_Rule]
) -> None:
    """Count what is let through. Of requests by URL those to URLs of a rule that looks at this table."""
    for number, window in enumerate(_windows(limits)):
        table = f"{PEERS}/{window.table(listener)}"
        if not window.per_url:
            section.add(*do, f"track-sc{number}", f"var({_CLIENT})", "table", table)
            continue
        counted = f"counted{number}"
        for rule in rules:
            if rule.table == table:
                section.add("acl", counted, f"var({rule.limit})", "-m", "found")
        section.add(*do, f"track-sc{number}", f"var({_CLIENT_URL})", "table", table, "if", counted)
