"""Quotas: what operators have set, what projects have, and the lock under which the two are compared.

Usage is counted from the rows of the objects themselves, so it cannot drift. A load balancer counts until it
is gone, since for so long it has amphorae and an address; what is below it counts until its own removal is
accepted, for that takes nothing but a line of configuration with it.

What was counted is kept as a bound: what is added raises it, what goes does not lower it. While there is room
above it nobody counts; where there is none, the rows are counted anew, and decide (ADR 8).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql, postgresql, sqlite

from hydria.model.errors import ProjectBusy
from hydria.model.load_balancer import LoadBalancer
from hydria.model.quota import Quota, field_of
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.store import events, failures, rows
from hydria.store.events import What
from hydria.store.tables import quota_locks, quotas, table_of

# Seconds for which a bound is believed. What raises usage past it, without a limit at that time or with a
# provider that refuses a removal, is found then.
_BELIEVED = 600.0
_GOING = (str(ProvisioningStatus.PENDING_DELETE), str(ProvisioningStatus.DELETED))


@dataclass(frozen=True, slots=True)
class Bound:
    """A project has so many objects of a kind at most; they were counted at a time in seconds since 1970."""

    most: int
    counted_at: float


Bounds = Mapping[str, Bound]  # by the quota's field


def find(tx: sa.Connection, project_id: str) -> Quota | None:
    """What is set for a project; None when nothing is."""
    return rows.load_one(tx, Quota, project_id)


def save(tx: sa.Connection, quota: Quota) -> None:
    """Set a project's quotas."""
    _forget(tx, quota.project_id)
    values = {name: getattr(quota, name) for name in quota.__struct_fields__}
    changed = tx.execute(sa.update(quotas).where(quotas.c.project_id == quota.project_id).values(values))
    if not changed.rowcount:
        tx.execute(quotas.insert().values(values))
    events.note(tx, quota, What.UPDATE_END)


def remove(tx: sa.Connection, project_id: str) -> None:
    """Back to the defaults; nothing where nothing is set."""
    _forget(tx, project_id)
    if tx.execute(sa.delete(quotas).where(quotas.c.project_id == project_id)).rowcount:
        events.note(tx, Quota(project_id=project_id), What.DELETE_END)


def _forget(tx: sa.Connection, project_id: str) -> None:
    """Have the objects counted anew: while there was no limit, nobody has raised the bounds."""
    tx.execute(sa.update(quota_locks).where(quota_locks.c.project_id == project_id).values(bounds=None))


def bounds(tx: sa.Connection, project_id: str) -> Bounds:
    """What is known of how much a project has."""
    return _decoded(tx.execute(_row(), {"project": project_id}).scalar())


def lock(tx: sa.Connection, project_id: str) -> Bounds:
    """The same; who else compares this project's objects with its quotas waits until the transaction ends.

    It is the last lock that a transaction takes, after the load balancer's, so none deadlock. Raises
    ProjectBusy when it cannot be had within the seconds that the engine waits for a lock.
    """
    try:
        found = tx.execute(_row(lock=True), {"project": project_id}).first()
        if found is None:
            tx.execute(_made_and_locked(tx.dialect.name, project_id))
    except exc.DBAPIError as error:
        if failures.is_lock_timeout(error):
            raise ProjectBusy from error
        raise
    return {} if found is None else _decoded(found[0])


@cache
def _row(*, lock: bool = False) -> sa.Select[Any]:
    query = sa.select(quota_locks.c.bounds).where(quota_locks.c.project_id == sa.bindparam("project"))
    return query.with_for_update() if lock else query


def _decoded(text: str | None) -> Bounds:
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Bound])


def compare(
    tx: sa.Connection,
    project_id: str,
    known: Bounds,
    wanted: Mapping[type[Resource], int],
    limits: Mapping[type[Resource], int],
) -> tuple[type[Resource] | None, Bounds]:
    """The first kind of which a project would have more than its limit, and the bounds with what is wanted.

    wanted, limits: how many more of each kind, and how many it may have; all that is limited is wanted.
    """
    now = time.time()
    unsure = [resource for resource in limits if not _fits(known, resource, wanted, limits, now)]
    room = [limits[resource] - wanted[resource] for resource in unsure]
    raised = dict(known)
    if unsure:
        for resource, left, present in zip(unsure, room, used(tx, project_id, unsure, room), strict=True):
            if present > left:
                return resource, known
            raised[field_of(resource)] = Bound(present, now)
    for resource in limits:
        bound = raised[field_of(resource)]
        raised[field_of(resource)] = Bound(bound.most + wanted[resource], bound.counted_at)
    return None, raised


def _fits(
    known: Bounds,
    resource: type[Resource],
    wanted: Mapping[type[Resource], int],
    limits: Mapping[type[Resource], int],
    now: float,
) -> bool:
    bound = known.get(field_of(resource))
    if bound is None or abs(now - bound.counted_at) > _BELIEVED:
        return False
    return bound.most + wanted[resource] <= limits[resource]


def keep(tx: sa.Connection, project_id: str, raised: Bounds) -> None:
    """Write the bounds of a project that is locked."""
    text = msgspec.json.encode(raised).decode()
    tx.execute(_keep(), {"project": project_id, "text": text})


@cache
def _keep() -> sa.Update:
    kept = sa.update(quota_locks).where(quota_locks.c.project_id == sa.bindparam("project"))
    return kept.values(bounds=sa.bindparam("text"))


def used(
    tx: sa.Connection, project_id: str, resources: Sequence[type[Resource]], most: Sequence[int] | None = None
) -> list[int]:
    """How many objects of each kind a project has, in one statement.

    ``most``: of each, it is enough to know whether there are more than so many, so counting ends behind them.
    """
    if not resources:
        return []
    bounds = {f"most_{number}": bound + 1 for number, bound in enumerate(most or ())}
    statement = _counts(tuple(resources), bounded=most is not None)
    found = tx.execute(statement, {"project": project_id, **bounds}).one()
    return [int(count) for count in found]


@cache
def _counts(resources: tuple[type[Resource], ...], *, bounded: bool) -> sa.Select[Any]:
    counted = []
    for number, resource in enumerate(resources):
        table = table_of(resource)
        gone = _GOING[1:] if resource is LoadBalancer else _GOING
        living = sa.select(table.c.id).where(
            table.c.project_id == sa.bindparam("project"), table.c.provisioning_status.not_in(gone)
        )
        if bounded:
            living = living.limit(sa.bindparam(f"most_{number}", type_=sa.Integer()))
        counted.append(sa.select(sa.func.count()).select_from(living.subquery()).scalar_subquery())
    return sa.select(*counted)


def _made_and_locked(engine: str, project_id: str) -> Any:
    """The first time: of two who come at once, the second waits for the first and finds its row."""
    values: Mapping[str, str] = {"project_id": project_id}
    if engine in ("postgresql", "sqlite"):
        insert = postgresql.insert if engine == "postgresql" else sqlite.insert
        return (
            insert(quota_locks)
            .values(values)
            .on_conflict_do_update(index_elements=["project_id"], set_=values)
        )
    return mysql.insert(quota_locks).values(values).on_duplicate_key_update(values)
