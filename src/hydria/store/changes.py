"""Changes of the desired state: what every accepted API request does to the tree it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.model import recall
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Recalled, Resource, build
from hydria.model.statuses import ProvisioningStatus
from hydria.store import events, rows, tables
from hydria.store.batches import batches
from hydria.store.events import What

# An object that is new or on its way out stays so, whatever happens around it.
_TOUCHABLE = (ProvisioningStatus.ACTIVE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.ERROR)


def lock(tx: sa.Connection, load_balancer_id: str) -> LoadBalancer | None:
    """The load balancer, unchanged by anybody else until the transaction ends."""
    return rows.load_one(tx, LoadBalancer, load_balancer_id, lock=True)


def touch(tx: sa.Connection, balancer: LoadBalancer, **changes: Any) -> int:
    """Raise a locked load balancer's generation and have a worker look at it; the new generation."""
    status = (
        balancer.provisioning_status
        if balancer.provisioning_status not in _TOUCHABLE
        else ProvisioningStatus.PENDING_UPDATE
    )
    generation = balancer.generation + 1
    values = {"provisioning_status": status, "request_id": ""} | changes
    row = rows.to_row(LoadBalancer, values)
    row |= {"generation": generation, "updated_at": rows.now(), "retry_at": None, "look_at": None}
    rows.update_one(tx, LoadBalancer, balancer.id, row)
    _note_touch(tx, balancer, values)
    return generation


def _note_touch(tx: sa.Connection, balancer: LoadBalancer, values: Mapping[str, Any]) -> None:
    if not events.collecting(tx):
        return
    events.about(tx, balancer.id, balancer.project_id, values["request_id"])
    if values["provisioning_status"] == ProvisioningStatus.PENDING_DELETE:
        events.note(tx, balancer, What.DELETE_START)
    elif "own_generation" in values:
        events.note(tx, msgspec.structs.replace(balancer, **values), What.UPDATE_START)
    events.note_status(tx, balancer, values["provisioning_status"])


def touch_objects(
    tx: sa.Connection, resource: type[Resource], identifiers: Collection[str], generation: int
) -> None:
    """Mark objects that a change of something else affects as PENDING_UPDATE."""
    if identifiers:
        table = tables.table_of(resource)
        if events.collecting(tx):
            events.note_ids(
                tx,
                resource,
                _settled(tx, table, identifiers),
                What.STATUS,
                provisioning_status="PENDING_UPDATE",
            )
        pending = {
            "provisioning_status": str(ProvisioningStatus.PENDING_UPDATE),
            "generation": generation,
            "updated_at": rows.now(),
        }
        for batch in batches(identifiers):
            tx.execute(_touch(resource), pending | {"touched": batch})


@cache
def _touch(resource: type[Resource]) -> sa.Update:
    table = tables.table_of(resource)
    touchable = table.c.provisioning_status.in_(_TOUCHABLE)
    return sa.update(table).where(table.c.id.in_(sa.bindparam("touched", expanding=True)), touchable)


def _settled(tx: sa.Connection, table: sa.Table, identifiers: Collection[str]) -> list[str]:
    """Those of the objects that nothing is pending for."""
    settled = table.c.provisioning_status.in_((ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR))
    return list(tx.execute(sa.select(table.c.id).where(table.c.id.in_(identifiers), settled)).scalars())


def update_object(
    tx: sa.Connection, item: Resource, changes: Mapping[str, Any], generation: int
) -> dict[str, Any]:
    """Write a PUT's changes; what the object's row has become, as far as it changed."""
    status = (
        item.provisioning_status
        if item.provisioning_status not in _TOUCHABLE
        else ProvisioningStatus.PENDING_UPDATE
    )
    values = {
        **changes, "provisioning_status": status, "generation": generation, "updated_at": rows.now()
    }  # fmt: skip
    if isinstance(item, Recalled):
        values["previous"] = recall.before(item, changes)
    rows.update_one(tx, type(item), item.id, rows.to_row(type(item), values))
    if events.collecting(tx):
        events.note(tx, build(type(item), msgspec.structs.asdict(item) | values), What.UPDATE_START)
        events.note_status(tx, item, status)
    return values


def delete_object(tx: sa.Connection, item: Resource, generation: int) -> None:
    """Take an object out of the desired state; its row goes once that is applied."""
    table = tables.table_of(type(item))
    values: dict[str, Any] = {
        "provisioning_status": str(ProvisioningStatus.PENDING_DELETE),
        "generation": generation,
        "updated_at": rows.now(),
    }
    if "live_key" in table.c:
        values["live_key"] = None
    rows.update_one(tx, type(item), item.id, values)
    events.note(tx, item, What.DELETE_START)
    events.note_status(tx, item, ProvisioningStatus.PENDING_DELETE)


def set_tags(tx: sa.Connection, resource_id: str, tags: Collection[str]) -> None:
    """Replace an object's tags."""
    tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id == resource_id))
    if tags:
        tx.execute(
            tables.tags.insert(), [{"resource_id": resource_id, "tag": tag} for tag in dict.fromkeys(tags)]
        )


def add_load_balancer(tx: sa.Connection, balancer: LoadBalancer) -> None:
    """Insert a load balancer with its lease."""
    rows.insert(tx, [balancer])
    tx.execute(tables.leases.insert().values(load_balancer_id=balancer.id, term=0, expires_at=0.0))
