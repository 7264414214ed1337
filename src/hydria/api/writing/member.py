"""Changes of members (contract 1.13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from hydria.api import policy, views
from hydria.api.call import Call
from hydria.api.writing import conflicts, quota, requests
from hydria.api.writing.change import Change, carry_out, known_id, new, open_child
from hydria.model import rules
from hydria.model.errors import Invalid, NotFound
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import parse_create, parse_update
from hydria.model.statuses import OperatingStatus, VnicType
from hydria.providers import objects
from hydria.store import changes, rows
from hydria.store.relations import Relations


def create(call: Call, body: object, parent: str | None) -> dict[str, object]:
    """Add a member to a pool."""
    services = call.services
    pool_id = parent or ""
    values = parse_create(Member, requests.record(Member, body), services.defaults)
    check_subnets(call, [values], pool_id, needed=("member:post",))

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Pool, pool_id)
        used = change.find_pool(pool_id)
        change.authorize("member:post")
        completed = judged(call, values, change.member_sriov)
        quota.reserve(call, tx, change.balancer.project_id, {Member: 1})
        change.admit(used.pool)
        start = OperatingStatus.OFFLINE if used.monitor_id else OperatingStatus.NO_MONITOR
        item = new(change.balancer, Member, {**completed, "pool_id": used.pool.id}, change.generation, start)
        if used.listener_ids:
            change.admit_families(used.pool, [item])
        conflicts.insert(tx, item)
        change.touch(used)
        change.hand_over("member_create", objects.of(item))
        return views.body(item, Relations(tags=item.tags)), change

    return carry_out(call, work)


def update(call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:
    """Change a member."""
    pool_id = parent or ""
    given = parse_update(Member, requests.record(Member, body), call.services.defaults)

    def work(tx: sa.Connection) -> tuple[dict[str, object], Change]:
        change = open_child(call, tx, Pool, pool_id)
        used = change.find_pool(pool_id)
        item = _of_pool(change, identifier, used.pool)
        change.authorize("member:put")
        completed = rules.member_updated(
            item, given, call.services.deployment, call.services.network.closed_to_members()
        )
        change.admit_update(item, used.pool)
        updated = change.update(item, completed)
        change.touch(used)
        shown = change.shown(updated)
        change.hand_over("member_update", objects.of(item), objects.changed(Member, item.id, completed))
        return shown, change

    return carry_out(call, work)


def delete(call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG001  (of load balancers)
    """Remove a member from its pool."""
    pool_id = parent or ""

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, Pool, pool_id)
        used = change.find_pool(pool_id)
        item = _of_pool(change, identifier, used.pool)
        change.authorize("member:delete")
        if change.gone(item, used.pool):
            return None, None
        changes.delete_object(tx, item, change.generation)
        change.touch(used)
        change.hand_over("member_delete", objects.of(item))
        return None, change

    carry_out(call, work)


def judged(call: Call, values: Mapping[str, object], sriov: Callable[[], bool]) -> dict[str, object]:
    """A new member's values by the rules; ``sriov`` asks whether the flavor lets members have that."""
    direct = bool(values.get("request_sriov"))
    if direct and not sriov():
        raise Invalid("The load balancer flavor does not allow SR-IOV member ports.")
    completed = rules.member_created(
        values, call.services.deployment, call.services.network.closed_to_members()
    )
    return {**completed, "vnic_type": VnicType.DIRECT if direct else VnicType.NORMAL}


def check_subnets(
    call: Call,
    members: Iterable[Mapping[str, object]],
    pool_id: str | None = None,
    needed: Iterable[str] = (),
) -> None:
    """Raise Invalid when a new member's subnet does not exist.

    Asks a service, so this is done before the transaction. But that the pool does not exist, or that the
    caller may not (``needed``) write to it, is what the caller is told first.
    """
    for subnet_id in {str(values["subnet_id"]) for values in members if values.get("subnet_id")}:
        try:
            call.network.subnet(subnet_id)
        except NotFound as missing:
            if pool_id is not None:
                _authorize(call, pool_id, needed)
            raise requests.foreign("Subnet", subnet_id) from missing


def _authorize(call: Call, pool_id: str, needed: Iterable[str]) -> None:
    with call.services.store.read() as tx:
        pool = rows.load_one(tx, Pool, known_id(Pool, pool_id))
    if pool is None:
        raise NotFound(Pool.label, pool_id)
    for rule in needed:
        policy.authorize(call, rule, pool.project_id)


def _of_pool(change: Change, identifier: str, pool: Pool) -> Member:
    item = change.find(Member, identifier)
    if item.pool_id != pool.id:
        raise NotFound(Member.label, identifier)
    return item
