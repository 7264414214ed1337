"""Changes of listeners (contract 1.11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import certificates, conflicts, quota, requests
from hydria.api.writing.change import Change, carry_out, immutable, new, open_balancer, open_child
from hydria.model import rules
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import ListenerProtocol
from hydria.model.tree import Tree
from hydria.providers import objects
from hydria.store import bulk, changes, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Open a port on a load balancer."""
    given = requests.record(Listener, body)
    values = parse_create(Listener, given, call.services.defaults, ignored=Listener.children)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_balancer(call, tx, str(values["load_balancer_id"]))
        change.authorize("listener:post")
        pool = _default_pool(change, values)
        completed = rules.listener_created(
            values,
            Tree(change.balancer).vip_addresses(),
            call.services.deployment,
            vip_sg_ids=change.balancer.vip_sg_ids,
        )
        if pool is not None:
            rules.pool_fits_listener(ListenerProtocol(str(values["protocol"])), pool.protocol)
        certificates.judge(call, Listener, completed, change.balancer.project_id)
        requests.not_here(Listener, given)
        quota.reserve(call, tx, change.balancer.project_id, {Listener: 1})
        change.provider.admit_extensions(Listener, completed)
        change.admit()
        _admit_pool(change, pool)
        item = new(change.balancer, Listener, completed, change.generation)
        conflicts.insert(tx, item)
        change.touch()
        change.hand_over("listener_create", objects.of(item))
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a listener."""
    given = parse_update(Listener, requests.record(Listener, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Listener, identifier)
        item = change.find(Listener, identifier)
        change.authorize("listener:put")
        pool = _default_pool(change, given)
        completed = rules.listener_updated(
            item,
            given,
            Tree(change.balancer).vip_addresses(),
            call.services.deployment,
            vip_sg_ids=change.balancer.vip_sg_ids,
        )
        if pool is not None:
            rules.pool_fits_listener(item.protocol, pool.protocol)
        certificates.judge(call, Listener, completed, change.balancer.project_id, item)
        change.admit_update(item)
        _admit_pool(change, pool, item)
        updated = change.update(item, completed)
        change.touch()
        shown = change.shown(updated)
        change.hand_over("listener_update", objects.of(item), objects.changed(Listener, item.id, completed))
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Close a port; its policies go with it, the pools that it used stay."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, Listener, identifier)
        item = change.find(Listener, identifier)
        change.authorize("listener:delete")
        if change.gone(item):
            return None, None
        content = _policies(change, item)
        changes.delete_object(tx, item, change.generation)
        bulk.delete_objects(tx, L7Policy, [policy.id for policy in content.l7policies], change.generation)
        bulk.delete_objects(tx, L7Rule, [rule.id for rule in content.l7rules], change.generation)
        limits = [policy.id for policy in content.limit_policies]
        bulk.delete_objects(tx, RateLimitPolicy, limits, change.generation)
        bulk.delete_objects(tx, RateLimitRule, [rule.id for rule in content.limit_rules], change.generation)
        change.touch()
        change.hand_over("listener_delete", objects.of_listener(item, content))
        return None, change

    carry_out(call, work)


def _default_pool(change: Change, values: Mapping[str, object]) -> Pool | None:
    """The pool that the request makes the default; NotFound when it is none of this load balancer's."""
    pool_id = values.get("default_pool_id")
    return None if pool_id is None else change.find(Pool, str(pool_id))


def _admit_pool(change: Change, pool: Pool | None, listener: Listener | None = None) -> None:
    """Raise Busy or Unsupported unless the pool may become a listener's default, or stay that of this one."""
    if pool is None:
        return
    if not pool.desired:
        raise immutable(pool)
    if listener is None or listener.default_pool_id != pool.id:
        change.admit_families(pool, _members(change, pool))


def _members(change: Change, pool: Pool) -> Iterator[Member]:
    """A pool's members, which are loaded only if somebody wants to see them."""
    yield from rows.load(change.tx, Member, tables.members.c.pool_id == pool.id)


def _policies(change: Change, listener: Listener) -> Tree:
    """What goes with a listener."""
    policies = rows.load(change.tx, L7Policy, tables.l7policies.c.listener_id == listener.id)
    ids = [policy.id for policy in policies]
    found = rows.load(change.tx, L7Rule, tables.l7rules.c.l7policy_id.in_(ids)) if ids else ()
    limits = rows.load(change.tx, RateLimitPolicy, tables.limit_policies.c.listener_id == listener.id)
    limiting = [policy.id for policy in limits]
    limit_rules = tables.limit_rules.c.rate_limit_policy_id.in_(limiting)
    return Tree(
        change.balancer,
        (listener,),
        l7policies=policies,
        l7rules=found,
        limit_policies=limits,
        limit_rules=rows.load(change.tx, RateLimitRule, limit_rules) if limiting else (),
    ).desired()
