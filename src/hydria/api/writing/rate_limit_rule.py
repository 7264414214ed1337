"""Changes of rate limit rules (contract 4.16)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import requests
from hydria.api.writing.change import Change, carry_out, new, open_child
from hydria.api.writing.rate_limit_policy import hand_over
from hydria.model import rules
from hydria.model.errors import Conflict, NotFound
from hydria.model.listener import Listener
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import parse_create, parse_update
from hydria.store import changes, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:
    """Add a rule to a policy."""
    policy_id = parent or ""
    values = parse_create(RateLimitRule, requests.record(RateLimitRule, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, RateLimitPolicy, policy_id)
        policy = change.find(RateLimitPolicy, policy_id)
        change.authorize("ratelimitrule:post")
        listener = change.find(Listener, policy.listener_id)
        completed = rules.limit_rule_created(values, listener.protocol)
        change.provider.admit_extensions(RateLimitRule, completed)
        change.admit(policy)
        present = _of_listener(tx, listener)
        if sum(rule.rate_limit_policy_id == policy.id for rule in present) >= rules.MOST_LIMIT_RULES:
            raise too_many(policy.id)
        _windows_fit(listener, present, "", completed)
        placed = {**completed, "rate_limit_policy_id": policy.id}
        item = new(change.balancer, RateLimitRule, placed, change.generation)
        rows.insert(tx, [item])
        change.touch_above(policy, rules=True)
        hand_over(change, listener)
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:
    """Change a rule."""
    policy_id = parent or ""
    given = parse_update(RateLimitRule, requests.record(RateLimitRule, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, RateLimitPolicy, policy_id)
        policy = change.find(RateLimitPolicy, policy_id)
        item = _of_policy(change, identifier, policy)
        change.authorize("ratelimitrule:put")
        listener = change.find(Listener, policy.listener_id)
        completed = rules.limit_rule_updated(item, given, listener.protocol)
        change.admit_update(item, policy)
        becomes = {"metric": item.metric, "interval": item.interval} | completed
        _windows_fit(listener, _of_listener(tx, listener), item.id, becomes)
        updated = change.update(item, completed)
        change.touch_above(policy, rules=True)
        shown = change.shown(updated)
        hand_over(change, listener)
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001  (of load balancers)
    """Remove a rule from its policy."""
    policy_id = parent or ""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, RateLimitPolicy, policy_id)
        policy = change.find(RateLimitPolicy, policy_id)
        item = _of_policy(change, identifier, policy)
        change.authorize("ratelimitrule:delete")
        if change.gone(item, policy):
            return None, None
        changes.delete_object(tx, item, change.generation)
        change.touch_above(policy, rules=True)
        hand_over(change, change.find(Listener, policy.listener_id))
        return None, change

    carry_out(call, work)


def too_many(policy_id: str) -> Conflict:
    """The error for one rule more than a policy may have."""
    return Conflict(f"Too many rules on rate limit policy {policy_id}: at most {rules.MOST_LIMIT_RULES}")


def _of_listener(tx: sa.Connection, listener: Listener) -> list[RateLimitRule]:
    """The rules of all policies of a listener."""
    policies, table = tables.limit_policies, tables.limit_rules
    ids = sa.select(policies.c.id).where(policies.c.listener_id == listener.id)
    return [
        rule for rule in rows.load(tx, RateLimitRule, table.c.rate_limit_policy_id.in_(ids)) if rule.desired
    ]


def _windows_fit(
    listener: Listener, present: list[RateLimitRule], but: str, becomes: Mapping[str, object]
) -> None:
    """Refuse a rule that looks at a window too many; it takes the place of the one with the id ``but``."""
    windows = [(rule.metric, rule.interval) for rule in present if rule.id != but]
    rules.windows_fit(listener.id, [*windows, (becomes["metric"], becomes["interval"])])


def _of_policy(change: Change, identifier: str, policy: RateLimitPolicy) -> RateLimitRule:
    """The rule, if it is this policy's: one of somebody else's is not to be reached through one's own."""
    item = change.find(RateLimitRule, identifier)
    if item.rate_limit_policy_id != policy.id:
        raise NotFound(RateLimitRule.label, identifier)
    return item
