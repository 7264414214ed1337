"""Whole load balancers: read for convergence, and marked as applied afterwards."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from hydria.model.amphora import Amphora
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.store import rows, tables

_CHILDREN: tuple[type[Resource], ...] = (HealthMonitor, Member, Pool, Listener)
_UNFINISHED = (ProvisioningStatus.PENDING_CREATE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.ERROR)


def load_tree(tx: sa.Connection, load_balancer_id: str) -> Tree | None:
    """A load balancer with everything below it; None when it does not exist."""
    balancer = rows.load_one(tx, LoadBalancer, load_balancer_id)
    if balancer is None:
        return None
    return Tree(
        balancer,
        rows.load(tx, Listener, tables.listeners.c.load_balancer_id == load_balancer_id),
        rows.load(tx, Pool, tables.pools.c.load_balancer_id == load_balancer_id),
        rows.load(tx, Member, tables.members.c.load_balancer_id == load_balancer_id),
        rows.load(tx, HealthMonitor, tables.health_monitors.c.load_balancer_id == load_balancer_id),
    )


def load_amphorae(tx: sa.Connection, load_balancer_id: str) -> tuple[Amphora, ...]:
    """The amphorae of a load balancer, those being deleted included."""
    return rows.load(
        tx,
        Amphora,
        tables.amphorae.c.load_balancer_id == load_balancer_id,
        tables.amphorae.c.status != "DELETED",
    )


def due(tx: sa.Connection, moment: float, when: datetime, limit: int) -> list[str]:
    """Load balancers with work to do that nobody holds a lease on, those waiting longest first.

    moment: now in seconds since 1970, for leases; when: the same as the tables keep it, for retries.
    """
    balancer, lease = tables.load_balancers.c, tables.leases.c
    query = (
        sa.select(balancer.id)
        .join_from(tables.load_balancers, tables.leases)
        .where(
            balancer.provisioning_status.in_([*_UNFINISHED, ProvisioningStatus.PENDING_DELETE]),
            # Providers that report by themselves leave nothing to converge.
            balancer.generation > balancer.applied_generation,
            sa.or_(balancer.retry_at.is_(None), balancer.retry_at <= when),
            sa.or_(lease.owner.is_(None), lease.expires_at < moment),
        )
        .order_by(balancer.updated_at, balancer.id)
        .limit(limit)
    )
    return list(tx.execute(query).scalars())


def lock_generation(tx: sa.Connection, load_balancer_id: str) -> int:
    """The generation that is wanted, unchanged until the transaction ends.

    The load balancer's row is what every transaction locks first, here as in the API, so none deadlock.
    """
    balancer = tables.load_balancers.c
    query = sa.select(balancer.generation).where(balancer.id == load_balancer_id).with_for_update()
    return int(tx.execute(query).scalar_one())


def mark_applied(tx: sa.Connection, tree: Tree, generation: int) -> None:
    """Record that every amphora serves ``generation`` of this tree.

    Only tables in which the tree had something pending are written.
    """
    balancer_id = tree.load_balancer.id
    for resource in _CHILDREN:
        pending = [
            item for item in tree.children() if type(item) is resource and _unfinished(item, generation)
        ]
        going = [item.id for item in pending if not item.desired]
        if going:
            _remove(tx, resource, going)
        if len(going) < len(pending):
            table = tables.table_of(resource)
            tx.execute(
                sa.update(table)
                .where(
                    table.c.load_balancer_id == balancer_id,
                    table.c.generation <= generation,
                    table.c.provisioning_status.in_(_UNFINISHED),
                )
                .values(provisioning_status=str(ProvisioningStatus.ACTIVE))
            )
    balancer = tables.load_balancers
    current = balancer.c.generation == generation
    status = sa.case(
        (sa.and_(current, balancer.c.provisioning_status != "PENDING_DELETE"), "ACTIVE"),
        else_=balancer.c.provisioning_status,
    )
    tx.execute(
        sa.update(balancer)
        .where(balancer.c.id == balancer_id)
        .values(
            applied_generation=generation, provisioning_status=status, fault=None, attempts=0, retry_at=None
        )
    )


def mark_failed(
    tx: sa.Connection, tree: Tree, generation: int, *, fault: str, retry_at: datetime | None, show: bool
) -> None:
    """Record why a pass failed and when the next is due.

    With ``show`` what was pending becomes ERROR, unless it is being deleted; without, it stays as it is.
    """
    for resource in _CHILDREN if show else ():
        if any(
            type(item) is resource and item.desired and _unfinished(item, generation)
            for item in tree.children()
        ):
            table = tables.table_of(resource)
            tx.execute(
                sa.update(table)
                .where(
                    table.c.load_balancer_id == tree.load_balancer.id,
                    table.c.generation <= generation,
                    table.c.provisioning_status.in_(_UNFINISHED),
                )
                .values(provisioning_status=str(ProvisioningStatus.ERROR))
            )
    balancer = tables.load_balancers
    status = sa.case(
        (
            sa.and_(
                sa.literal(show),
                balancer.c.generation == generation,
                balancer.c.provisioning_status != "PENDING_DELETE",
            ),
            "ERROR",
        ),
        else_=balancer.c.provisioning_status,
    )
    tx.execute(
        sa.update(balancer)
        .where(balancer.c.id == tree.load_balancer.id)
        .values(
            fault=fault[:2048],
            attempts=balancer.c.attempts + 1,
            retry_at=retry_at,
            provisioning_status=status,
        )
    )


def mark_deleted(tx: sa.Connection, tree: Tree, moment: datetime) -> None:
    """Remove everything below a load balancer, and keep its row as DELETED until it is purged."""
    for resource in _CHILDREN:
        _remove(tx, resource, [item.id for item in tree.children() if type(item) is resource])
    balancer = tables.load_balancers
    tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id == tree.load_balancer.id))
    tx.execute(
        sa.update(balancer)
        .where(balancer.c.id == tree.load_balancer.id)
        .values(
            provisioning_status=str(ProvisioningStatus.DELETED),
            operating_status=str(OperatingStatus.OFFLINE),
            applied_generation=balancer.c.generation,
            updated_at=moment,
            fault=None,
            retry_at=None,
        )
    )


def _unfinished(item: Resource, generation: int) -> bool:
    return item.generation <= generation and item.provisioning_status is not ProvisioningStatus.ACTIVE


def _remove(tx: sa.Connection, resource: type[Resource], identifiers: list[str]) -> None:
    if not identifiers:
        return
    table = tables.table_of(resource)
    tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id.in_(identifiers)))
    if resource is Pool:
        listeners = tables.listeners
        tx.execute(
            sa.update(listeners)
            .where(listeners.c.default_pool_id.in_(identifiers))
            .values(default_pool_id=None)
        )
    if resource is Listener:
        statistics = tables.listener_statistics
        tx.execute(sa.delete(statistics).where(statistics.c.listener_id.in_(identifiers)))
    tx.execute(sa.delete(table).where(table.c.id.in_(identifiers)))
