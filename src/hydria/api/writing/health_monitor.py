"""Changes of health monitors (contract 1.14)."""

from __future__ import annotations

import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.api.writing import conflicts, quota, requests
from hydria.api.writing.change import Change, carry_out, new, open_child
from hydria.model import rules
from hydria.model.health_monitor import HealthMonitor
from hydria.model.pool import Pool
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import OperatingStatus
from hydria.providers import objects
from hydria.store import bulk, changes
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001  (of members)
    """Give a pool a monitor."""
    values = parse_create(HealthMonitor, requests.record(HealthMonitor, body), call.services.defaults)
    pool_id = str(values["pool_id"])

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Pool, pool_id)
        used = change.find_pool(pool_id)
        change.authorize("healthmonitor:post")
        completed = rules.monitor_created(values, used.pool.protocol, call.services.deployment)
        quota.reserve(call, tx, change.balancer.project_id, {HealthMonitor: 1})
        change.admit(used.pool)
        item = new(
            change.balancer,
            HealthMonitor,
            completed,
            change.generation,
            health(admin_up=values["admin_state_up"]),
        )
        conflicts.insert(tx, item)
        change.touch(used)
        change.hand_over("health_monitor_create", objects.of(item))
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG001
    """Change a monitor."""
    given = parse_update(HealthMonitor, requests.record(HealthMonitor, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, HealthMonitor, identifier)
        item = change.find(HealthMonitor, identifier)
        change.authorize("healthmonitor:put")
        used = change.find_pool(item.pool_id)
        completed = rules.monitor_updated(item, given, used.pool.protocol, call.services.deployment)
        change.admit_update(item, used.pool)
        written = dict(completed)
        if "admin_state_up" in written:
            written["operating_status"] = health(admin_up=written["admin_state_up"])
        updated = change.update(item, written)
        change.touch(used)
        shown = change.shown(updated)
        change.hand_over(
            "health_monitor_update", objects.of(item), objects.changed(HealthMonitor, item.id, completed)
        )
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001
    """Take a pool's monitor away."""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, HealthMonitor, identifier)
        item = change.find(HealthMonitor, identifier)
        change.authorize("healthmonitor:delete")
        used = change.find_pool(item.pool_id)
        if change.gone(item, used.pool):
            return None, None
        changes.delete_object(tx, item, change.generation)
        if not change.classic:  # whose provider reports how its members do
            bulk.forget_monitoring(tx, used.pool.id)
        change.touch(used)
        change.hand_over("health_monitor_delete", objects.of(item))
        return None, change

    carry_out(call, work)


def health(*, admin_up: object) -> OperatingStatus:
    """A monitor's operating status: nobody observes it, so it is what the owner says."""
    return OperatingStatus.ONLINE if admin_up else OperatingStatus.OFFLINE
