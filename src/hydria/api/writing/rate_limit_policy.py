"""Changes of rate limit policies (contract 4.16)."""

from __future__ import annotations

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import requests
from hydria.api.writing.change import Change, carry_out, immutable, new, open_child
from hydria.model import rules
from hydria.model.errors import Conflict
from hydria.model.listener import Listener
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import parse_create, parse_update
from hydria.providers import objects
from hydria.store import bulk, changes, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Give a listener a policy."""
    given = requests.record(RateLimitPolicy, body)
    values = parse_create(RateLimitPolicy, given, call.services.defaults, ignored=RateLimitPolicy.children)
    listener_id = str(values["listener_id"])

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Listener, listener_id)
        listener = change.find(Listener, listener_id)
        change.authorize("ratelimitpolicy:post")
        requests.not_here(RateLimitPolicy, given)
        completed = rules.limit_policy_created(values, listener.protocol)
        change.provider.admit_extensions(RateLimitPolicy, completed)
        change.provider.admit_limits(listener.protocol)
        change.admit()
        if not listener.desired:
            raise immutable(listener)
        present = rows.load(tx, RateLimitPolicy, tables.limit_policies.c.listener_id == listener.id)
        if sum(policy.desired for policy in present) >= rules.MOST_LIMIT_POLICIES:
            raise too_many(listener.id)
        item = new(change.balancer, RateLimitPolicy, completed, change.generation)
        rows.insert(tx, [item])
        change.touch_above(item)
        hand_over(change, listener)
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a policy."""
    given = parse_update(RateLimitPolicy, requests.record(RateLimitPolicy, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, RateLimitPolicy, identifier)
        item = change.find(RateLimitPolicy, identifier)
        change.authorize("ratelimitpolicy:put")
        listener = change.find(Listener, item.listener_id)
        completed = rules.limit_policy_updated(item, given, listener.protocol)
        change.admit_update(item)
        updated = change.update(item, completed)
        change.touch_above(updated)
        shown = change.shown(updated)
        hand_over(change, listener)
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Remove a policy with its rules."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, RateLimitPolicy, identifier)
        item = change.find(RateLimitPolicy, identifier)
        change.authorize("ratelimitpolicy:delete")
        if change.gone(item):
            return None, None
        content = rows.load(tx, RateLimitRule, tables.limit_rules.c.rate_limit_policy_id == item.id)
        changes.delete_object(tx, item, change.generation)
        bulk.delete_objects(
            tx, RateLimitRule, [rule.id for rule in content if rule.desired], change.generation
        )
        change.touch_above(item)
        hand_over(change, change.find(Listener, item.listener_id))
        return None, change

    carry_out(call, work)


def hand_over(change: Change, listener: Listener) -> None:
    """Tell the provider that something of the listener has changed: octavia-lib has no words for what."""
    change.hand_over("listener_update", objects.of(listener), objects.changed(Listener, listener.id, {}))


def too_many(listener_id: str) -> Conflict:
    """The error for one policy more than a listener may have."""
    return Conflict(
        f"Too many rate limit policies on listener {listener_id}: at most {rules.MOST_LIMIT_POLICIES}"
    )
