"""What heartbeats are held against: a few columns of many load balancers, in one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import AmphoraRole, OperatingStatus, ProvisioningStatus
from hydria.planner.health import Observed, Part
from hydria.store import amphorae as amphora_rows
from hydria.store import changes, events, rows, tables
from hydria.store.batches import batches
from hydria.store.events import What

_KINDS: dict[str, type[Resource]] = {
    resource.table: resource for resource in (LoadBalancer, Listener, Pool, Member, HealthMonitor)
}
# Looked up rather than constructed: this is done for every row.
_PROVISIONING = {str(status): status for status in ProvisioningStatus}
_OPERATING = {str(status): status for status in OperatingStatus}


@dataclass(frozen=True, slots=True)
class Serving:
    """Whom an amphora that serves serves, and how far that load balancer is.

    state: changes whenever the load balancer does, so that what was concluded before may not hold any more.
    settled: nothing newer is wanted, and nobody is about to look at it.
    """

    amphora_id: str
    role: AmphoraRole
    load_balancer_id: str
    applied_generation: int
    settled: bool
    state: tuple[object, ...]


def serving(tx: sa.Connection, amphora_ids: Sequence[str]) -> dict[str, Serving]:
    """Those of these amphorae that serve."""
    found = {}
    for row in tx.execute(_serving(), {"amphorae": amphora_ids}):
        settled = row[5] == "ACTIVE" and row[3] == row[4] and row[7] is None
        found[row[0]] = Serving(row[0], AmphoraRole(row[1]), row[2], row[4], settled, tuple(row[3:7]))
    return found


@cache
def _serving() -> sa.Select[Any]:
    amphora, balancer = tables.amphorae.c, tables.load_balancers.c
    return (
        sa.select(
            amphora.id,
            amphora.role,
            balancer.id,
            balancer.generation,
            balancer.applied_generation,
            balancer.provisioning_status,
            balancer.updated_at,
            balancer.look_at,
        )
        .select_from(tables.amphorae.join(tables.load_balancers, balancer.id == amphora.load_balancer_id))
        .where(amphora.id.in_(sa.bindparam("amphorae", expanding=True)), amphora.status == "ALLOCATED")
    )


def load(tx: sa.Connection, load_balancer_ids: Sequence[str]) -> dict[str, Observed]:
    """What heartbeats say something about, of each of these load balancers that exists.

    Of one moment where the transaction has locked the load balancer.
    """
    balancers: dict[str, Any] = {}
    parts: dict[str, list[Part]] = {name: [] for name in load_balancer_ids}
    for kind, name, owner, project, provisioning, operating, up, above, number in tx.execute(
        _parts(), {"balancers": load_balancer_ids}
    ):
        resource, status = _KINDS[kind], _PROVISIONING[provisioning]
        is_balancer = resource is LoadBalancer
        weight = 0 if is_balancer else number or 0
        part = Part(resource, name, status, _OPERATING[operating], bool(up), above, weight)
        if is_balancer:
            balancers[name] = (part, project, number)
        else:
            parts[owner].append(part)
    return {
        name: Observed(part, project, number, tuple(parts[name]))
        for name, (part, project, number) in balancers.items()
    }


@cache
def _parts() -> sa.CompoundSelect[Any]:
    balancer = tables.load_balancers.c
    gone = balancer.provisioning_status != "DELETED"
    return sa.union_all(
        _branch(
            tables.load_balancers,
            balancer.id,
            project=balancer.project_id,
            number=balancer.applied_generation,
        ).where(gone),
        _below(tables.listeners),
        _below(tables.pools),
        _below(tables.members, above=tables.members.c.pool_id, number=tables.members.c.weight),
        _below(tables.health_monitors),
    )  # fmt: skip


def _below(table: sa.Table, **more: Any) -> sa.Select[Any]:
    return _branch(table, table.c.load_balancer_id, **more)


def _branch(
    table: sa.Table, owner: sa.Column[Any], *, project: Any = None, above: Any = None, number: Any = None
) -> sa.Select[Any]:
    column = table.c
    text, whole = sa.cast(sa.null(), sa.String(255)), sa.cast(sa.null(), sa.BigInteger())
    return sa.select(
        sa.literal_column(f"'{table.name}'", sa.String()),
        column.id,
        owner,
        text if project is None else project,
        column.provisioning_status,
        column.operating_status,
        column.admin_state_up,
        text if above is None else above,
        whole if number is None else number,
    ).where(owner.in_(sa.bindparam("balancers", expanding=True)))


def note_behind(tx: sa.Connection, amphora_id: str, load_balancer_id: str, generation: int) -> bool:
    """Record that an amphora serves an older generation than its load balancer is said to have.

    A worker looks at the load balancer then. False when it is not so any more, or somebody is about to look.
    """
    balancer = changes.lock(tx, load_balancer_id)
    if balancer is None or balancer.provisioning_status is not ProvisioningStatus.ACTIVE:
        return False
    waits = balancer.look_at is not None or balancer.generation > balancer.applied_generation
    if waits or generation >= balancer.applied_generation or not is_serving(tx, amphora_id):
        return False
    amphora_rows.update(tx, amphora_id, applied_generation=generation)
    rows.update_one(tx, LoadBalancer, load_balancer_id, {"look_at": rows.now()})
    return True


def is_serving(tx: sa.Connection, amphora_id: str) -> bool:
    """Whether an amphora serves."""
    column = tables.amphorae.c
    query = sa.select(column.id).where(column.id == amphora_id, column.status == "ALLOCATED")
    return tx.execute(query).first() is not None


def write(tx: sa.Connection, observed: Observed, changed: Sequence[tuple[Part, OperatingStatus]]) -> None:
    """Write operating statuses that are others than before; the load balancer is locked."""
    grouped: dict[tuple[type[Resource], OperatingStatus], list[str]] = {}
    for part, status in changed:
        grouped.setdefault((part.resource, status), []).append(part.id)
    events.about(tx, observed.balancer.id, observed.project_id)
    for (resource, status), identifiers in grouped.items():
        events.note_ids(tx, resource, identifiers, What.STATUS, operating_status=str(status))
        written = {"operating_status": str(status), "updated_at": rows.now()}
        table = tables.table_of(resource)
        for batch in batches(identifiers):
            tx.execute(sa.update(table).where(table.c.id.in_(batch)).values(written))
