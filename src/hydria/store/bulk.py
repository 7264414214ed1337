"""Changes of many objects at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from hydria.model.member import Member
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.store import events, rows, tables
from hydria.store.batches import batches
from hydria.store.events import What

# What a batch update decides of a member that is there already.
_MEMBER_COLUMNS = (
    "name", "weight", "backup", "subnet_id", "monitor_address", "monitor_port", "admin_state_up",
    "provisioning_status", "generation", "updated_at",
)  # fmt: skip


def delete_objects(
    tx: sa.Connection, resource: type[Resource], identifiers: Collection[str], generation: int
) -> None:
    """Take objects out of the desired state; their rows go once that is applied."""
    if not identifiers:
        return
    table = tables.table_of(resource)
    values: dict[str, Any] = {
        "provisioning_status": str(ProvisioningStatus.PENDING_DELETE),
        "generation": generation,
        "updated_at": rows.now(),
    }
    if "live_key" in table.c:
        values["live_key"] = None
    for batch in batches(identifiers):
        tx.execute(sa.update(table).where(table.c.id.in_(batch)).values(values))
    events.note_ids(tx, resource, identifiers, What.DELETE_START)
    pending = values["provisioning_status"]
    events.note_ids(tx, resource, identifiers, What.STATUS, provisioning_status=pending)


def write_members(tx: sa.Connection, members: Sequence[Member]) -> None:
    """Write what a batch update has made of members that were there before."""
    if not members:
        return
    events.note_all(tx, members, What.UPDATE_START)
    table = tables.members
    statement = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("member"))
        .values({name: sa.bindparam(f"new_{name}") for name in _MEMBER_COLUMNS})
    )
    written = [
        rows.to_row(Member, {name: getattr(each, name) for name in _MEMBER_COLUMNS}) for each in members
    ]
    tx.execute(
        statement,
        [
            {"member": each.id} | {f"new_{name}": value for name, value in row.items()}
            for each, row in zip(members, written, strict=True)
        ],
    )


def forget_monitoring(tx: sa.Connection, pool_id: str) -> None:
    """Nobody probes a pool's members any more."""
    table, unmonitored = tables.members, str(OperatingStatus.NO_MONITOR)
    monitored = sa.and_(table.c.pool_id == pool_id, table.c.operating_status != unmonitored)
    if events.collecting(tx):
        found = list(tx.execute(sa.select(table.c.id).where(monitored)).scalars())
        events.note_ids(tx, Member, found, What.STATUS, operating_status=unmonitored)
    tx.execute(sa.update(table).where(monitored).values(operating_status=unmonitored, updated_at=rows.now()))
