"""Quotas: what operators have set, what projects have, and the lock under which the two are compared.

Usage is counted from the rows of the objects themselves, so it cannot drift. A load balancer counts until it
is gone, since for so long it has amphorae and an address; what is below it counts until its own removal is
accepted, for that takes nothing but a line of configuration with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql, postgresql

from hydria.model.errors import ProjectBusy
from hydria.model.load_balancer import LoadBalancer
from hydria.model.quota import Quota
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.store import events, failures, rows
from hydria.store.events import What
from hydria.store.tables import quota_locks, quotas, table_of

_GOING = (str(ProvisioningStatus.PENDING_DELETE), str(ProvisioningStatus.DELETED))


def find(tx: sa.Connection, project_id: str) -> Quota | None:
    """What is set for a project; None when nothing is."""
    return rows.load_one(tx, Quota, project_id)


def save(tx: sa.Connection, quota: Quota) -> None:
    """Set a project's quotas."""
    values = {name: getattr(quota, name) for name in quota.__struct_fields__}
    changed = tx.execute(sa.update(quotas).where(quotas.c.project_id == quota.project_id).values(values))
    if not changed.rowcount:
        tx.execute(quotas.insert().values(values))
    events.note(tx, quota, What.UPDATE_END)


def remove(tx: sa.Connection, project_id: str) -> None:
    """Back to the defaults; nothing where nothing is set."""
    if tx.execute(sa.delete(quotas).where(quotas.c.project_id == project_id)).rowcount:
        events.note(tx, Quota(project_id=project_id), What.DELETE_END)


def lock(tx: sa.Connection, project_id: str) -> None:
    """Have whoever else compares this project's objects with its quotas wait until the transaction ends.

    It is the last lock that a transaction takes, after the load balancer's, so none deadlock. Raises
    ProjectBusy when it cannot be had within the seconds that the engine waits for a lock.
    """
    if tx.dialect.name == "sqlite":
        return  # every transaction has the whole database for itself
    try:
        found = sa.select(quota_locks.c.project_id).where(quota_locks.c.project_id == project_id)
        if tx.execute(found.with_for_update()).first() is None:
            tx.execute(_made_and_locked(tx.dialect.name, project_id))
    except exc.DBAPIError as error:
        if failures.is_lock_timeout(error):
            raise ProjectBusy from error
        raise


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
    if engine == "postgresql":
        return (
            postgresql.insert(quota_locks)
            .values(values)
            .on_conflict_do_update(index_elements=["project_id"], set_=values)
        )
    return mysql.insert(quota_locks).values(values).on_duplicate_key_update(values)
