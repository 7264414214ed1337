"""A pool's whole list of members in one request (contract 1.13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from hydria.api import conditions
from hydria.api.call import Call
from hydria.api.writing import conflicts, quota, requests
from hydria.api.writing.change import Change, carry_out, new, open_child
from hydria.api.writing.member import check_subnets, judged
from hydria.model.errors import validation
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import bad_value, parse_create
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.providers import objects
from hydria.store import bulk, rows, tables
from hydria.store.locking import PoolInUse

Values = Mapping[str, Any]

# Of a member that is there already, these stay as they are unless the request names them; everything else
# that it leaves out goes back to the default.
_KEPT = ("name", "tags", "subnet_id")
_DECIDED = ("weight", "backup", "admin_state_up", "monitor_address", "monitor_port", *_KEPT)


class _Listed(Member, frozen=True, kw_only=True):
    """A member as an item of the list: errors name it so."""

    root: ClassVar[str] = "members"
    argument: ClassVar[str] = "members_"


@dataclass(slots=True)
class _Plan:
    """What is to become of the pool's members; ``tags``: those that are to be replaced."""

    created: list[Member] = field(default_factory=list)
    updated: list[Member] = field(default_factory=list)
    untouched: list[Member] = field(default_factory=list)
    deleted: list[Member] = field(default_factory=list)
    tags: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.created or self.updated or self.deleted)


def update(call: Call, pool_id: str, body: object, *, additive_only: bool) -> None:
    """Make a pool's members those of the request; ``additive_only``: leave others alone."""
    conditions.refuse(call, "A list of members")
    if body is None:
        raise bad_value(_Listed.root, None, "Mandatory field missing.")
    given = requests.records(_Listed.root, body)
    asked = [parse_create(_Listed, each, call.services.defaults) for each in given]
    named = [frozenset(each) for each in given]
    needed = (
        ("member:post", "member:put") if additive_only else ("member:post", "member:put", "member:delete")
    )
    check_subnets(call, asked, pool_id, needed)

    def work(tx: sa.Connection) -> tuple[None, Change | None]:
        change = open_child(call, tx, Pool, pool_id)
        used = change.find_pool(pool_id)
        for rule in needed:
            change.authorize(rule)
        plan = _plan(
            change,
            used,
            [judged(call, values, change.member_sriov) for values in asked],
            named,
            additive_only=additive_only,
        )
        if plan.empty:
            return None, None
        growth = len(plan.created) - len(plan.deleted)
        quota.reserve(call, tx, change.balancer.project_id, {Member: growth})
        change.admit(used.pool)
        if used.listener_ids:
            change.admit_families(used.pool, [*plan.created, *plan.updated])
        _write(change, plan)
        change.touch(used)
        desired = [*plan.untouched, *plan.updated, *plan.created]
        change.hand_over("member_batch_update", used.pool.id, [objects.of(member) for member in desired])
        return None, change

    carry_out(call, work)


def _plan(
    change: Change,
    used: PoolInUse,
    asked: Sequence[Values],
    named: Sequence[frozenset[str]],
    *,
    additive_only: bool,
) -> _Plan:
    members = rows.load(change.tx, Member, tables.members.c.pool_id == used.pool.id)
    present = {
        tables.live_key(Member, msgspec.structs.asdict(member)): member
        for member in members
        if member.desired
    }
    start = OperatingStatus.OFFLINE if used.monitor_id else OperatingStatus.NO_MONITOR
    plan, seen = _Plan(), set()
    for values, names in zip(asked, named, strict=True):
        wanted = {**values, "pool_id": used.pool.id}
        identity = tables.live_key(Member, wanted)
        member = present.get(identity)
        if member is None:
            plan.created.append(new(change.balancer, Member, wanted, change.generation, start))
            continue
        if identity in seen:
            raise validation("Member must be updated only once in the same request.")
        seen.add(identity)
        plan.updated.append(_updated(change, member, values, names))
        if "tags" in names:
            plan.tags[member.id] = values["tags"]
    conflicts.distinct(plan.created)
    rest = [member for identity, member in present.items() if identity not in seen]
    if additive_only:
        plan.untouched = rest
    else:
        plan.deleted = rest
    return plan


def _updated(change: Change, member: Member, values: Values, names: frozenset[str]) -> Member:
    decided = {name: values[name] for name in _DECIDED if name not in _KEPT or name in names}
    status = member.provisioning_status
    if status is not ProvisioningStatus.PENDING_CREATE:
        status = ProvisioningStatus.PENDING_UPDATE
    return msgspec.structs.replace(
        member,
        **decided,
        provisioning_status=status,
        generation=change.generation,
        updated_at=rows.now(),
    )


def _write(change: Change, plan: _Plan) -> None:
    bulk.delete_objects(change.tx, Member, [member.id for member in plan.deleted], change.generation)
    bulk.write_members(change.tx, plan.updated)
    rows.insert(change.tx, plan.created)
    for member in plan.updated:
        if member.id in plan.tags:
            change.tag(member, {"tags": plan.tags[member.id]})
