"""Changes of pools (contract 1.12)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import certificates, quota, requests
from hydria.api.writing.change import Change, carry_out, immutable, new, open_balancer, open_child
from hydria.model import rules
from hydria.model.errors import Conflict, validation
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import parse_create, parse_update
from hydria.model.tree import Tree
from hydria.providers import objects
from hydria.store import bulk, changes, rows, tables
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Make a pool, as a listener's default pool if the request names one."""
    given = requests.record(Pool, body)
    values = parse_create(Pool, given, call.services.defaults, ignored=Pool.children)
    requests.not_here(Pool, given)
    if values["load_balancer_id"] is None and values["listener_id"] is None:
        raise validation("Must provide at least one of: loadbalancer_id, listener_id")

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = _open(call, tx, values)
        change.authorize("pool:post")
        listener_id = values["listener_id"]
        listener = None if listener_id is None else change.find(Listener, str(listener_id))
        completed = rules.pool_created(values, call.services.deployment)
        certificates.judge(call, Pool, completed, change.balancer.project_id)
        change.provider.admit_extensions(Pool, completed)
        item = new(change.balancer, Pool, completed, change.generation)
        if listener is not None:
            rules.pool_fits_listener(listener.protocol, item.protocol)
        quota.reserve(call, tx, change.balancer.project_id, {Pool: 1})
        change.admit()
        if listener is not None:
            _admit_as_default(change, listener)
        rows.insert(tx, [item])
        if listener is not None:
            changes.update_object(tx, listener, {"default_pool_id": item.id}, change.generation)
        change.touch()
        change.hand_over("pool_create", objects.of(item))
        used_by = () if listener is None else (listener.id,)
        return views.body(item, Relations(tags=item.tags, listeners=used_by)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a pool."""
    given = parse_update(Pool, requests.record(Pool, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Pool, identifier)
        used = change.find_pool(identifier)
        change.authorize("pool:put")
        completed = rules.pool_updated(used.pool, given, call.services.deployment)
        certificates.judge(call, Pool, completed, change.balancer.project_id, used.pool)
        change.admit_update(used.pool)
        updated = change.update(used.pool, completed)
        change.touch()
        change.touch_listeners(used)
        shown = change.shown(updated)
        change.hand_over("pool_update", objects.of(used.pool), objects.changed(Pool, updated.id, completed))
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Remove a pool with its members and its monitor; listeners lose it as their default pool."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, Pool, identifier)
        used = change.find_pool(identifier)
        change.authorize("pool:delete")
        if change.gone(used.pool):
            return None, None
        _refuse_redirected(change, used.pool)
        content = _content(change, used.pool)
        changes.delete_object(tx, used.pool, change.generation)
        bulk.delete_objects(tx, Member, [member.id for member in content.members], change.generation)
        bulk.delete_objects(
            tx, HealthMonitor, [monitor.id for monitor in content.health_monitors], change.generation
        )
        change.touch()
        change.touch_listeners(used)
        change.hand_over("pool_delete", objects.of_pool(used.pool, content))
        return None, change

    carry_out(call, work)


def _open(call: Call, tx: sa.Connection, values: Mapping[str, object]) -> Change:
    if values["load_balancer_id"] is None:
        return open_child(call, tx, Listener, str(values["listener_id"]))
    return open_balancer(call, tx, str(values["load_balancer_id"]))


def _admit_as_default(change: Change, listener: Listener) -> None:
    """Raise Conflict unless the listener can get a default pool."""
    if not listener.desired:
        raise immutable(listener)
    if listener.default_pool_id is not None:
        present = rows.load_one(change.tx, Pool, listener.default_pool_id)
        if present is not None and present.desired:
            raise Conflict("This listener already has a default pool")


def _refuse_redirected(change: Change, pool: Pool) -> None:
    """Raise Conflict when an L7 policy needs the pool."""
    policies = tables.l7policies
    for policy in rows.load(change.tx, L7Policy, policies.c.redirect_pool_id == pool.id):
        if policy.desired:
            raise Conflict(f"Pool {pool.id} is in use by L7 policy {policy.id}")


def _content(change: Change, pool: Pool) -> Tree:
    """What goes with a pool."""
    members, monitors = tables.members, tables.health_monitors
    return Tree(
        change.balancer,
        (),
        (pool,),
        rows.load(change.tx, Member, members.c.pool_id == pool.id),
        rows.load(change.tx, HealthMonitor, monitors.c.pool_id == pool.id),
    ).desired()
