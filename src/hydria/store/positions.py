"""The order of a listener's L7 policies: positions 1, 2, 3, … without gaps.

For transactions that have locked the load balancer, so that nobody else moves them meanwhile. Policies on
their way out have given up their position. That a neighbor moves changes nothing of its own: its status, its
generation and the time of its last change stay.
"""

from __future__ import annotations

import sqlalchemy as sa

from hydria.model.l7policy import L7Policy
from hydria.model.statuses import ProvisioningStatus
from hydria.store.tables import l7policies


def make_room(tx: sa.Connection, listener_id: str, wanted: int) -> int:
    """Free a position for a policy that is not there yet; the one that it gets, at most behind all others."""
    position = min(wanted, _count(tx, listener_id) + 1)
    _shift(tx, listener_id, l7policies.c.position >= position, +1)
    return position


def move(tx: sa.Connection, policy: L7Policy, wanted: int) -> int:
    """Move the others so that a policy can have a position; the one that it gets, still to be written."""
    position = min(wanted, _count(tx, policy.listener_id))
    column = l7policies.c.position
    if position < policy.position:
        _shift(tx, policy.listener_id, sa.and_(column >= position, column < policy.position), +1)
    elif position > policy.position:
        _shift(tx, policy.listener_id, sa.and_(column > policy.position, column <= position), -1)
    return position


def close_gap(tx: sa.Connection, policy: L7Policy) -> None:
    """Move up the policies behind one that goes."""
    _shift(tx, policy.listener_id, l7policies.c.position > policy.position, -1)


def renumber(tx: sa.Connection, listener_id: str) -> None:
    """Give the policies that are there the positions 1, 2, 3, … in the order that they have."""
    columns = l7policies.c
    order = (columns.position, columns.created_at, columns.id)
    found = tx.execute(
        sa.select(columns.id, columns.position).where(*_of(listener_id)).order_by(*order)
    ).all()
    for position, row in enumerate(found, start=1):
        if row.position != position:
            tx.execute(sa.update(l7policies).where(columns.id == row.id).values(position=position))


def _count(tx: sa.Connection, listener_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(l7policies).where(*_of(listener_id))
    return int(tx.execute(query).scalar_one())


def _shift(tx: sa.Connection, listener_id: str, which: sa.ColumnElement[bool], by: int) -> None:
    tx.execute(
        sa.update(l7policies).where(*_of(listener_id), which).values(position=l7policies.c.position + by)
    )


def _of(listener_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    going = str(ProvisioningStatus.PENDING_DELETE)
    return l7policies.c.listener_id == listener_id, l7policies.c.provisioning_status != going
