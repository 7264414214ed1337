"""What there is to do for workers: load balancers whose desired state is not applied, or not all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hydria.model.statuses import ProvisioningStatus
from hydria.store import tables

AGES = 10 * 366 * 86400.0  # seconds
_PENDING = [
    str(status)
    for status in (
        ProvisioningStatus.PENDING_CREATE,
        ProvisioningStatus.PENDING_UPDATE,
        ProvisioningStatus.ERROR,
        ProvisioningStatus.PENDING_DELETE,
    )
]
_balancer, _lease = tables.load_balancers.c, tables.leases.c


@dataclass(frozen=True, slots=True)
class Due:
    """A load balancer with work to do, and the term of its latest lease.

    As long as that is its term nobody has worked on it since.
    """

    load_balancer_id: str
    term: int


def due(tx: sa.Connection, moment: float, limit: int, horizon: float = AGES) -> list[Due]:
    """Load balancers with work to do that nobody holds a lease on, those that have waited longest first.

    moment: now in seconds since 1970. What is further ahead than ``horizon`` seconds was written by a clock
    that was put back since: it counts as over.
    """
    found = tx.execute(_DUE, times(moment, horizon) | {"moment": moment, "limit": limit})
    return [Due(*row) for row in found]


def times(moment: float, horizon: float) -> dict[str, Any]:
    """The parameters of :func:`to_do`."""
    when = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    return {"when": when, "ahead": when + timedelta(seconds=horizon), "longest": moment + horizon}


def to_do(*, woken: bool) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions that a load balancer with work to do meets; parameters: :func:`times`.

    Work is what is not applied, what was applied but for something that may be usable by now, and what is
    still under way. A retry waits for its time. So does a look at what is under way, unless somebody was
    ``woken`` for it.
    """
    unapplied = sa.and_(
        _balancer.provisioning_status.in_(_PENDING),
        # Providers that report by themselves leave nothing to converge.
        _balancer.generation > _balancer.applied_generation,
    )
    incomplete = sa.and_(
        sa.or_(_balancer.retry_at.is_not(None), _balancer.look_at.is_not(None)),
        _balancer.provisioning_status == str(ProvisioningStatus.ACTIVE),
    )
    yield sa.or_(unapplied, incomplete)
    for column in (_balancer.retry_at,) if woken else (_balancer.retry_at, _balancer.look_at):
        when, ahead = (sa.bindparam(name, type_=column.type) for name in ("when", "ahead"))
        yield sa.or_(column.is_(None), column <= when, column > ahead)


def free() -> sa.ColumnElement[bool]:
    """The condition that a lease meets which anybody may take; parameters: ``moment`` and ``longest``.

    An expired one is free, and one that ends later than any lease does: its end is by a clock that was put
    back since.
    """
    return sa.or_(
        _lease.owner.is_(None),
        _lease.expires_at < sa.bindparam("moment"),
        _lease.expires_at > sa.bindparam("longest"),
    )


_DUE = (
    sa.select(_balancer.id, _lease.term)
    .join_from(tables.load_balancers, tables.leases)
    .where(*to_do(woken=False), free())
    .order_by(
        sa.func.coalesce(_balancer.retry_at, _balancer.look_at, _balancer.updated_at, _balancer.created_at),
        _balancer.id,
    )
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
