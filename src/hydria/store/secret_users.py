"""Who refers to a secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.model import secrets
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.store import rows, tables

_GOING = (str(ProvisioningStatus.PENDING_DELETE), str(ProvisioningStatus.DELETED))
_FIRST = ("", "")  # before every load balancer


def find(tx: sa.Connection, reference: str, project_id: str) -> Iterator[Resource]:
    """The listeners and pools of a project that name this reference, in any spelling, needed now or not."""
    wanted = secrets.identity(reference)
    for resource in (Listener, Pool):
        for item in rows.load(tx, resource, tables.table_of(resource).c.project_id == project_id):
            if item.desired and wanted in map(secrets.identity, secrets.of([item])):
                yield item


@dataclass(frozen=True, slots=True)
class Watched:
    """A load balancer whose amphorae have secrets of tenants.

    versions: of those that they have. references: to those that they need now.
    """

    id: str
    project_id: str
    generation: int
    versions: str
    references: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Its place in the order of :func:`watched`."""
        return self.versions, self.id


def watched(tx: sa.Connection, limit: int, after: tuple[str, str] = _FIRST) -> list[Watched]:
    """So many load balancers with secrets at most, behind a place; three statements for all of them.

    None that a pass is due for: it reads the newest anyway, when it is its turn, and looking must not bring
    that forward. None the worse for a change between the statements: whoever acts compares the generation.
    """
    balancer = tables.load_balancers.c
    query = (
        sa.select(
            balancer.id, balancer.project_id, balancer.generation, balancer.secret_versions,
            balancer.admin_state_up,
        )
        .where(
            *_behind(after),
            # Of an expression, so that no engine finds the ACTIVE ones by their index, who are nearly all.
            sa.func.coalesce(balancer.provisioning_status, "") == str(ProvisioningStatus.ACTIVE),
            balancer.generation == balancer.applied_generation,
        )
        .order_by(balancer.secret_versions, balancer.id)
        .limit(limit)
    )  # fmt: skip
    found = tx.execute(query).all()
    used = _references(tx, [row.id for row in found if row.admin_state_up])
    none: dict[str, None] = {}
    return [
        Watched(row.id, row.project_id, row.generation, row.secret_versions, tuple(used.get(row.id, none)))
        for row in found
    ]


def _behind(place: tuple[str, str]) -> tuple[sa.ColumnElement[bool], ...]:
    versions, identifier = place
    balancer = tables.load_balancers.c
    if not versions:
        return (balancer.secret_versions > "",)
    return (
        balancer.secret_versions >= versions,
        sa.or_(balancer.secret_versions > versions, balancer.id > identifier),
    )


def _references(tx: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, None]]:
    """What amphorae need, as :func:`hydria.model.secrets.in_use` says of whole objects."""
    used: dict[str, dict[str, None]] = {}
    for resource in (Listener, Pool) if ids else ():
        json = rows.json_columns(resource)
        fields = list(secrets.FIELDS[resource])
        for row in tx.execute(_users(resource), {"balancers": ids}):
            values: dict[str, object] = {
                field: msgspec.json.decode(value) if field in json and value is not None else value
                for field, value in zip(fields, row[1:], strict=True)
            }
            used.setdefault(row[0], {}).update(dict.fromkeys(secrets.references(resource, values)))
    return used


@cache
def _users(resource: type[Resource]) -> sa.Select[Any]:
    table = tables.table_of(resource).c
    speaks = table.protocol.in_(secrets.TERMINATING) if resource is Listener else table.tls_enabled.is_(True)
    return sa.select(table.load_balancer_id, *(table[field] for field in secrets.FIELDS[resource])).where(
        table.load_balancer_id.in_(sa.bindparam("balancers", expanding=True)),
        table.admin_state_up.is_(True),
        table.provisioning_status.not_in(_GOING),
        speaks,
    )
