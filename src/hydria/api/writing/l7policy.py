"""Changes of L7 policies (contract 1.15)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import quota, requests
from hydria.api.writing.change import Change, carry_out, immutable, new, open_child
from hydria.model import rules
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import parse_create, parse_update
from hydria.model.tree import Tree
from hydria.providers import objects
from hydria.store import bulk, changes, positions, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Give a listener a policy, at the position that the request names, or behind the others."""
    given = requests.record(L7Policy, body)
    values = parse_create(L7Policy, given, call.services.defaults, ignored=L7Policy.children)
    listener_id = str(values["listener_id"])

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Listener, listener_id)
        listener = change.find(Listener, listener_id)
        change.authorize("l7policy:post")
        pool = _pool(change, values)
        requests.not_here(L7Policy, given)
        completed = rules.policy_created(values, listener.protocol)
        _fits(completed, listener, pool)
        change.provider.admit_policies(listener.protocol)
        change.provider.admit_extensions(L7Policy, completed)
        quota.reserve(call, tx, change.balancer.project_id, {L7Policy: 1})
        change.admit()
        _admit(listener, pool)
        position = positions.make_room(tx, listener.id, int(str(values["position"])))
        item = new(change.balancer, L7Policy, {**completed, "position": position}, change.generation)
        rows.insert(tx, [item])
        change.touch_above(item)
        change.hand_over("l7policy_create", objects.of_policy(item, Tree(change.balancer)))
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a policy, its position among the others included."""
    given = parse_update(L7Policy, requests.record(L7Policy, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, L7Policy, identifier)
        item = change.find(L7Policy, identifier)
        change.authorize("l7policy:put")
        pool = _pool(change, given)
        completed = rules.policy_updated(item, given)
        if pool is not None:
            _fits(completed, change.find(Listener, item.listener_id), pool)
        change.admit_update(item)
        _admit(pool)
        if "position" in completed:
            completed["position"] = positions.move(tx, item, int(str(completed["position"])))
        updated = change.update(item, completed)
        change.touch_above(updated)
        shown = change.shown(updated)
        change.hand_over("l7policy_update", objects.of(item), objects.changed(L7Policy, item.id, completed))
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Remove a policy with its rules."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, L7Policy, identifier)
        item = change.find(L7Policy, identifier)
        change.authorize("l7policy:delete")
        if change.gone(item):
            return None, None
        content = Tree(
            change.balancer, l7rules=rows.load(tx, L7Rule, tables.l7rules.c.l7policy_id == item.id)
        )
        positions.close_gap(tx, item)
        changes.delete_object(tx, item, change.generation)
        bulk.delete_objects(tx, L7Rule, [rule.id for rule in content.l7rules], change.generation)
        change.touch_above(item)
        change.hand_over("l7policy_delete", objects.of_policy(item, content))
        return None, change

    carry_out(call, work)


def _pool(change: Change, values: Mapping[str, object]) -> Pool | None:
    """The pool that the request redirects to; NotFound when it is none of this load balancer's."""
    pool_id = values.get("redirect_pool_id")
    return None if pool_id is None else change.find(Pool, str(pool_id))


def _fits(completed: Mapping[str, object], listener: Listener, pool: Pool | None) -> None:
    """Refuse a pool that the listener cannot send traffic to, unless the policy does not use it after all."""
    if pool is not None and completed.get("redirect_pool_id") is not None:
        rules.pool_fits_listener(listener.protocol, pool.protocol)


def _admit(*used: Listener | Pool | None) -> None:
    for item in used:
        if item is not None and not item.desired:
            raise immutable(item)
