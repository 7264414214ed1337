"""Changes on their way to a provider that reports by itself: how to undo one that it refuses.

Such a provider is called after the commit, so that a slow driver holds no lock on the database, and finds
what it looks up and reports on. Until the call has returned a row has what the change replaced. It is small:
of the tree only what differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.statuses import ProvisioningStatus
from hydria.store import events, rows, tables
from hydria.store.batches import batches
from hydria.store.engine import Store
from hydria.store.events import What

_FAULT = {"message": "The provider has not taken it."}
# A generation is never used twice: who has seen the change can tell that it is not the latest any more.
_KEPT = ("id", "generation", "applied_generation")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of a tree, by table and id, and the tags of its objects."""

    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]
    tags: Mapping[str, Collection[str]]


class _Undo(msgspec.Struct, frozen=True):
    """What takes a change back: rows to remove, rows and tags as they were."""

    made: dict[str, list[str]]
    replaced: dict[str, list[dict[str, Any]]]
    tags: dict[str, list[str]]


def begin(tx: sa.Connection, store: Store, load_balancer_id: str, generation: int, owner: str) -> None:
    """Note how to undo what the transaction has changed, which holds the lock on the load balancer.

    ``store`` still has what there was before. ``owner``: the program that calls the provider.
    """
    members = tables.members.c
    changed = sa.and_(members.load_balancer_id == load_balancer_id, members.generation == generation)
    after = _snapshot(tx, load_balancer_id, list(tx.execute(sa.select(members.id).where(changed)).scalars()))
    with store.read() as committed:
        before = _snapshot(committed, load_balancer_id, list(after.rows[tables.members.name]))
    undo = _difference(before, after)
    handovers = tables.handovers
    tx.execute(sa.delete(handovers).where(handovers.c.load_balancer_id == load_balancer_id))
    tx.execute(
        handovers.insert().values(
            load_balancer_id=load_balancer_id,
            generation=generation,
            owner=owner,
            begun_at=time.time(),
            undo=msgspec.json.encode(undo).decode(),
        )
    )


def _snapshot(tx: sa.Connection, load_balancer_id: str, members: Sequence[str]) -> Snapshot:
    """A load balancer with what is below it, as this connection sees it.

    Of the members, which may be many, only these: a change marks every one that it touches.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for resource in tables.RESOURCES:
        table = tables.table_of(resource)
        parts: list[sa.ColumnElement[bool]]
        if resource is Member:
            parts = [table.c.id.in_(batch) for batch in batches(members)]
        else:
            parts = [
                (table.c.id if resource is LoadBalancer else table.c.load_balancer_id) == load_balancer_id
            ]
        selected = (tx.execute(sa.select(table).where(part)).mappings() for part in parts)
        found[table.name] = {row["id"]: dict(row) for listed in selected for row in listed}
    ids = [identifier for listed in found.values() for identifier in listed]
    tags: dict[str, list[str]] = {}
    for batch in batches(ids):
        for row in tx.execute(sa.select(tables.tags).where(tables.tags.c.resource_id.in_(batch))):
            tags.setdefault(row.resource_id, []).append(row.tag)
    return Snapshot(found, {owner: sorted(listed) for owner, listed in tags.items()})


def end(tx: sa.Connection, load_balancer_id: str, generation: int) -> None:
    """The provider has taken the change."""
    handovers = tables.handovers.c
    tx.execute(
        sa.delete(tables.handovers).where(
            handovers.load_balancer_id == load_balancer_id, handovers.generation == generation
        )
    )


def taken(tx: sa.Connection, load_balancer_ids: Collection[str]) -> None:
    """The provider has reported that it is done with whatever it was asked about these."""
    for batch in batches(load_balancer_ids):
        tx.execute(sa.delete(tables.handovers).where(tables.handovers.c.load_balancer_id.in_(batch)))


def undo(tx: sa.Connection, load_balancer_id: str, generation: int) -> bool:
    """Take a change back; False when it is not on its way any more, since the provider reported it as done.

    What the provider has removed meanwhile stays removed.
    """
    balancer = rows.load_one(tx, LoadBalancer, load_balancer_id, lock=True)
    handovers = tables.handovers.c
    text = tx.execute(
        sa.select(handovers.undo).where(
            handovers.load_balancer_id == load_balancer_id, handovers.generation == generation
        )
    ).scalar()
    if balancer is None or text is None or balancer.provisioning_status is ProvisioningStatus.DELETED:
        return False
    end(tx, load_balancer_id, generation)
    events.about(tx, balancer.id, balancer.project_id, balancer.request_id)
    kept = msgspec.json.decode(text, type=_Undo)
    _note(tx, kept)
    _restore(tx, kept)
    return True


def abandoned(tx: sa.Connection, is_dead: Callable[[str], bool], seconds: float) -> list[tuple[str, int]]:
    """Load balancer and generation of changes whose program is dead, or that take over ``seconds``."""
    handovers = tables.handovers.c
    query = sa.select(handovers.load_balancer_id, handovers.generation, handovers.owner, handovers.begun_at)
    now = time.time()
    return [
        (row.load_balancer_id, row.generation)
        for row in tx.execute(query)
        if is_dead(row.owner) or abs(now - row.begun_at) > seconds  # also after the clock was put back
    ]


def _difference(before: Snapshot, after: Snapshot) -> _Undo:
    made: dict[str, list[str]] = {}
    replaced: dict[str, list[dict[str, Any]]] = {}
    for table, items in after.rows.items():
        earlier = before.rows.get(table, {})
        made[table] = [identifier for identifier in items if identifier not in earlier]
        replaced[table] = [
            dict(earlier[identifier])
            for identifier, row in items.items()
            if identifier in earlier and row != earlier[identifier]
        ]
    kept = [identifier for items in before.rows.values() for identifier in items]
    tags = {
        identifier: list(before.tags.get(identifier, ()))
        for identifier in kept
        if before.tags.get(identifier) != after.tags.get(identifier)
    }
    return _Undo(made, replaced, tags)


def _note(tx: sa.Connection, undo: _Undo) -> None:
    """Tell who listens what becomes of what was announced."""
    if not events.collecting(tx):
        return
    for resource in tables.RESOURCES:
        events.note_ids(tx, resource, undo.made.get(resource.table, ()), What.CREATE_ERROR, fault=_FAULT)
        for row in undo.replaced.get(resource.table, ()):
            status = row["provisioning_status"]
            events.note_ids(tx, resource, [row["id"]], What.STATUS, provisioning_status=status)


def _restore(tx: sa.Connection, undo: _Undo) -> None:
    for name, ids in undo.made.items():
        table = tables.BY_NAME[name]
        for batch in batches(ids):
            tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id.in_(batch)))
            tx.execute(sa.delete(table).where(table.c.id.in_(batch)))
    for name, items in undo.replaced.items():
        table = tables.BY_NAME[name]
        for row in items:
            values = {key: _value(table.c[key], value) for key, value in row.items() if key not in _KEPT}
            if name != tables.load_balancers.name:
                values["generation"] = row["generation"]
            tx.execute(sa.update(table).where(table.c.id == row["id"]).values(values))
    for identifier, tags in undo.tags.items():
        tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id == identifier))
        if tags:
            tx.execute(tables.tags.insert(), [{"resource_id": identifier, "tag": tag} for tag in tags])


def _value(column: sa.Column[Any], value: Any) -> Any:
    if isinstance(column.type, sa.DateTime) and value is not None:
        return datetime.fromisoformat(value)
    return value
