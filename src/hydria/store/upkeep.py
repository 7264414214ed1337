"""What housekeeping looks for: what has ended, expired, or belongs to nobody.

Each look reads what it finds, by an index, and no more of it than it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from hydria.model.statuses import AmphoraStatus, ProvisioningStatus
from hydria.store.batches import batches
from hydria.store.tables import COUNTERS, PAST, amphorae, listener_statistics, load_balancers

_GOING = (str(ProvisioningStatus.PENDING_DELETE), str(ProvisioningStatus.DELETED))
# Who an instance or a port is named after: the prefix of the name, and the rows that such owners have.
_AMPHORA, _LOAD_BALANCER = "amphora-", "lb-"


def expiring(tx: sa.Connection, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
    """Amphora and load balancer of certificates that end before a moment, the first to end first.

    Only of amphorae that serve, that nobody has asked to be replaced yet, and whose load balancer stays.
    """
    query = (
        sa.select(amphorae.c.id, amphorae.c.load_balancer_id)
        .join(load_balancers, load_balancers.c.id == amphorae.c.load_balancer_id)
        .where(*_ending(before), load_balancers.c.provisioning_status.not_in(_GOING))
        .order_by(amphorae.c.cert_expiration)
        .limit(limit)
    )
    return [(row.id, row.load_balancer_id) for row in tx.execute(query)]


def count_expiring(tx: sa.Connection, before: datetime) -> int:
    """How many there are, those of load balancers that are being deleted included."""
    query = sa.select(sa.func.count()).select_from(amphorae).where(*_ending(before))
    return int(tx.execute(query).scalar_one())


def _ending(before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        amphorae.c.status == str(AmphoraStatus.ALLOCATED),
        amphorae.c.failover_requested == sa.false(),  # MariaDB finds no "IS false" by an index
        amphorae.c.cert_expiration < before,
    )


def purge_load_balancers(tx: sa.Connection, before: datetime, limit: int) -> int:
    """Remove so many load balancers at most that were deleted before a moment; how many that were.

    One whose amphorae cannot be deleted yet stays: with their rows, nobody would know of them any more.
    """
    table = load_balancers.c
    undeleted = sa.select(amphorae.c.id).where(
        amphorae.c.load_balancer_id == table.id, amphorae.c.status != str(AmphoraStatus.DELETED)
    )
    old = (
        table.provisioning_status == str(ProvisioningStatus.DELETED),
        table.updated_at < before,
        ~undeleted.correlate(load_balancers).exists(),
    )
    found = tx.execute(sa.select(table.id).where(*old).order_by(table.updated_at).limit(limit)).scalars()
    identifiers = sorted(found)
    if not identifiers:
        return 0
    return tx.execute(sa.delete(load_balancers).where(table.id.in_(identifiers), *old)).rowcount


def purge_amphorae(tx: sa.Connection, before: datetime, limit: int) -> int:
    """Remove so many amphorae at most that were deleted before a moment; how many that were.

    What they have counted stays, in one row of each listener.
    """
    table = amphorae.c
    old = table.status == str(AmphoraStatus.DELETED), table.updated_at < before
    found = tx.execute(sa.select(table.id).where(*old).order_by(table.updated_at).limit(limit)).scalars()
    identifiers = sorted(found)
    if not identifiers:
        return 0
    _fold(tx, identifiers)
    return tx.execute(sa.delete(amphorae).where(table.id.in_(identifiers), *old)).rowcount


def _fold(tx: sa.Connection, amphora_ids: Sequence[str]) -> None:
    """Add what these amphorae have counted to the row of all past ones, and remove their own rows."""
    counted = listener_statistics.c
    theirs = counted.amphora_id.in_(amphora_ids)
    # Locked in one order. Whoever does the same at the same time finds them gone afterwards.
    query = sa.select(listener_statistics).where(theirs).order_by(counted.listener_id, counted.amphora_id)
    sums: dict[str, dict[str, int]] = {}
    for row in tx.execute(query.with_for_update()).mappings():
        total = sums.setdefault(row["listener_id"], dict.fromkeys(COUNTERS, 0))
        for name in COUNTERS:
            total[name] += row[name] + row[f"base_{name}"]
    if not sums:
        return
    known: set[str] = set()
    for batch in batches(sums):
        past = sa.select(counted.listener_id).where(
            counted.listener_id.in_(batch), counted.amphora_id == PAST
        )
        known.update(tx.execute(past).scalars())
    for listener_id in sums.keys() - known:
        _begin_past(tx, listener_id)
    added = [
        {"listener": listener_id, **{f"more_{name}": number for name, number in total.items()}}
        for listener_id, total in sorted(sums.items())
    ]
    tx.execute(
        sa.update(listener_statistics)
        .where(counted.listener_id == sa.bindparam("listener"), counted.amphora_id == PAST)
        .values(
            {f"base_{name}": counted[f"base_{name}"] + sa.bindparam(f"more_{name}") for name in COUNTERS}
        ),
        added,
    )
    tx.execute(sa.delete(listener_statistics).where(theirs))


def _begin_past(tx: sa.Connection, listener_id: str) -> None:
    zeros = dict.fromkeys(("active_connections", *COUNTERS, *(f"base_{name}" for name in COUNTERS)), 0)
    row: Mapping[str, Any] = {"listener_id": listener_id, "amphora_id": PAST, "epoch": 0, **zeros}
    try:
        with tx.begin_nested():
            tx.execute(listener_statistics.insert().values(row))
    except exc.IntegrityError:
        return  # another housekeeping has just made it, or the listener is gone


def living(tx: sa.Connection, owners: Collection[str]) -> set[str]:
    """Those of these owners of instances and ports (``amphora-ID``, ``lb-ID``) that there are."""
    found: set[str] = set()
    for prefix, column, status in (
        (_AMPHORA, amphorae.c.id, amphorae.c.status),
        (_LOAD_BALANCER, load_balancers.c.id, load_balancers.c.provisioning_status),
    ):
        ids = {owner.removeprefix(prefix) for owner in owners if owner.startswith(prefix)}
        for batch in batches(ids):
            query = sa.select(column).where(column.in_(batch), status != "DELETED")
            found.update(f"{prefix}{identifier}" for identifier in tx.execute(query).scalars())
    return found
