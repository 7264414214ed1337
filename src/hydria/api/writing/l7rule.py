"""Changes of L7 rules (contract 1.16)."""

from __future__ import annotations

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import quota, requests
from hydria.api.writing.change import Change, carry_out, new, open_child
from hydria.model import rules
from hydria.model.errors import Conflict, NotFound
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.resource import parse_create, parse_update
from hydria.providers import objects
from hydria.store import changes, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:
    """Add a rule to a policy."""
    policy_id = parent or ""
    values = parse_create(L7Rule, requests.record(L7Rule, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, L7Policy, policy_id)
        policy = change.find(L7Policy, policy_id)
        change.authorize("l7rule:post")
        completed = rules.rule_created(values)
        change.provider.admit_extensions(L7Rule, completed)
        quota.reserve(call, tx, change.balancer.project_id, {L7Rule: 1})
        change.admit(policy)
        present = rows.load(tx, L7Rule, tables.l7rules.c.l7policy_id == policy.id)
        if sum(rule.desired for rule in present) >= rules.MOST_RULES:
            raise too_many(policy.id)
        item = new(change.balancer, L7Rule, {**completed, "l7policy_id": policy.id}, change.generation)
        rows.insert(tx, [item])
        change.touch_above(policy, rules=True)
        change.hand_over("l7rule_create", objects.of(item))
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:
    """Change a rule."""
    policy_id = parent or ""
    given = parse_update(L7Rule, requests.record(L7Rule, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, L7Policy, policy_id)
        policy = change.find(L7Policy, policy_id)
        item = _of_policy(change, identifier, policy)
        change.authorize("l7rule:put")
        completed = rules.rule_updated(item, given)
        change.admit_update(item, policy)
        updated = change.update(item, completed)
        change.touch_above(policy, rules=True)
        shown = change.shown(updated)
        change.hand_over("l7rule_update", objects.of(item), objects.changed(L7Rule, item.id, completed))
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001  (of load balancers)
    """Remove a rule from its policy."""
    policy_id = parent or ""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, L7Policy, policy_id)
        policy = change.find(L7Policy, policy_id)
        item = _of_policy(change, identifier, policy)
        change.authorize("l7rule:delete")
        if change.gone(item, policy):
            return None, None
        changes.delete_object(tx, item, change.generation)
        change.touch_above(policy, rules=True)
        change.hand_over("l7rule_delete", objects.of(item))
        return None, change

    carry_out(call, work)


def too_many(policy_id: str) -> Conflict:
    """The error for one rule more than a policy may have."""
    return Conflict(f"Too many rules on L7 policy {policy_id}")


def _of_policy(change: Change, identifier: str, policy: L7Policy) -> L7Rule:
    """The rule, if it is this policy's: one of somebody else's is not to be reached through one's own."""
    item = change.find(L7Rule, identifier)
    if item.l7policy_id != policy.id:
        raise NotFound(L7Rule.label, identifier)
    return item
