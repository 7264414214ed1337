"""Leases: one worker at a time converges a load balancer, and none for longer than it lives.

A lease names its owner, an end, and a term that grows by one each time it is taken. Writes of the owner go
through :func:`confirm` in the same transaction, and what it has amphorae do carries the term, which they
compare. So a worker that was stopped past the end of its lease and goes on can write over its successor's
work neither here nor there. Times are seconds since 1970 by the controllers' clocks, which must agree to well
within ``[controller_worker] lease_seconds``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from hydria.model.errors import Busy
from hydria.model.statuses import ProvisioningStatus
from hydria.store import backlog, events
from hydria.store.backlog import Due
from hydria.store.dialects import skips_locked
from hydria.store.tables import leases, load_balancers

# Statements of every pass, built once; the columns that are set are those of the parameters.
# The subquery locks nothing on any engine. What it reads may be out of date: then a pass finds nothing to do.
_WORK = sa.exists().where(load_balancers.c.id == sa.bindparam("balancer"), *backlog.to_do(woken=True))
_ACQUIRE = sa.update(leases).where(
    leases.c.load_balancer_id == sa.bindparam("balancer"), backlog.free(), _WORK
)
_NEXT = leases.c.term + 1
_ACQUIRE_RETURNING = _ACQUIRE.values(term=_NEXT).returning(leases.c.term)
# MariaDB and MySQL return no rows of an UPDATE, but the number that this function was given last.
_ACQUIRE_MYSQL = _ACQUIRE.values(term=sa.func.last_insert_id(_NEXT))
_THESE = leases.c.load_balancer_id.in_(sa.bindparam("balancers", expanding=True))
_LOOK = sa.select(leases.c.load_balancer_id, leases.c.term).where(_THESE, backlog.free())
_CLAIM = (
    sa.update(leases)
    .where(_THESE)
    .values(owner=sa.bindparam("owner"), term=_NEXT, expires_at=sa.bindparam("expires_at"))
)
_HELD = sa.and_(
    leases.c.load_balancer_id == sa.bindparam("held_balancer"),
    leases.c.owner == sa.bindparam("held_owner"),
    leases.c.term == sa.bindparam("held_term"),
)
_UPDATE = sa.update(leases).where(_HELD)
_LOCK = sa.select(leases.c.term).where(_HELD).with_for_update()
_STATUS = (
    sa.select(load_balancers.c.provisioning_status)
    .select_from(leases.outerjoin(load_balancers, load_balancers.c.id == leases.c.load_balancer_id))
    .where(_HELD)
)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to converge one load balancer; ``term`` is greater than that of every lease before."""

    load_balancer_id: str
    owner: str
    term: int


def acquire(
    tx: sa.Connection,
    load_balancer_id: str,
    owner: str,
    *,
    moment: float,
    seconds: float,
    horizon: float = backlog.AGES,
) -> Lease | None:
    """Take the lease on a load balancer that has work to do, unless somebody else holds it.

    horizon: seconds; what lies further ahead was written by a clock that was put back since.
    """
    mysql = tx.dialect.name in ("mysql", "mariadb")
    taken = tx.execute(
        _ACQUIRE_MYSQL if mysql else _ACQUIRE_RETURNING,
        backlog.times(moment, horizon)
        | {
            "balancer": load_balancer_id,
            "moment": moment,
            "longest": moment + 2 * seconds,
            "owner": owner,
            "expires_at": moment + seconds,
        },
    )
    if mysql:
        return Lease(load_balancer_id, owner, int(taken.lastrowid)) if taken.rowcount == 1 else None
    term = taken.scalar()
    return None if term is None else Lease(load_balancer_id, owner, term)


def claim(
    tx: sa.Connection, candidates: Sequence[Due], owner: str, most: int, *, moment: float, seconds: float
) -> tuple[list[Lease], Sequence[Due]]:
    """Take the leases on the first ``most`` candidates that are free and as they were found.

    Returns them, and the candidates that were not tried. What others are claiming now is left to them.
    """
    wanted, terms = iter(candidates), dict[str, int]()
    while len(terms) < most and (batch := list(islice(wanted, most - len(terms)))):
        found = {each.load_balancer_id: each.term for each in batch}
        rows = tx.execute(
            _LOOK.with_for_update(skip_locked=skips_locked(tx)),
            {"balancers": list(found), "moment": moment, "longest": moment + 2 * seconds},
        )
        terms |= {each: term for each, term in rows if found[each] == term}
    if terms:
        tx.execute(_CLAIM, {"balancers": list(terms), "owner": owner, "expires_at": moment + seconds})
    return [Lease(each, owner, term + 1) for each, term in terms.items()], list(wanted)


def renew(tx: sa.Connection, lease: Lease, *, moment: float, seconds: float) -> bool:
    """Put off the end of the lease; False when it is somebody else's by now."""
    renewed = tx.execute(_UPDATE, _held(lease) | {"expires_at": moment + seconds})
    return renewed.rowcount == 1


def confirm(tx: sa.Connection, lease: Lease, *, release: bool = False) -> None:
    """Raise Busy, and so roll back, unless the lease is still ours; keeps it ours until the transaction ends.

    ``release`` gives it back when the transaction commits.
    """
    if release:
        held = tx.execute(_UPDATE, _held(lease) | {"owner": None, "expires_at": 0.0}).rowcount == 1
    else:
        held = tx.execute(_LOCK, _held(lease)).first() is not None
    events.about(tx, lease.load_balancer_id)
    if not held:
        raise _lost(lease)


def surpass(tx: sa.Connection, lease: Lease, term: int) -> None:
    """Give the lease back so that the next one has a term above ``term``; raises Busy as :func:`confirm`.

    For an amphora that has met a later term than the database knows, since a backup was restored.
    """
    freed = {"owner": None, "expires_at": 0.0, "term": max(term, lease.term)}
    if tx.execute(_UPDATE, _held(lease) | freed).rowcount != 1:
        raise _lost(lease)


def wanted(tx: sa.Connection, lease: Lease) -> bool:
    """Whether what the lease is on is there, and nobody wants it deleted; raises Busy as :func:`confirm`.

    True of the moment that it is asked: nothing is locked.
    """
    row = tx.execute(_STATUS, _held(lease)).first()
    if row is None:
        raise _lost(lease)
    return row[0] is not None and not ProvisioningStatus(row[0]).going


def release_where(tx: sa.Connection, dead: Callable[[str], bool]) -> int:
    """Free the leases of owners known to be dead; how many."""
    query = sa.select(leases.c.owner).where(leases.c.owner.is_not(None)).distinct()
    owners = [owner for owner in tx.execute(query).scalars() if dead(owner)]
    if not owners:
        return 0
    freed = tx.execute(sa.update(leases).where(leases.c.owner.in_(owners)).values(owner=None, expires_at=0.0))
    return int(freed.rowcount)


def _lost(lease: Lease) -> Busy:
    return Busy(f"The lease of {lease.owner} on load balancer {lease.load_balancer_id} has run out.")


def _held(lease: Lease) -> dict[str, Any]:
    """The parameters of :data:`_HELD`."""
    return {
        "held_balancer": lease.load_balancer_id,
        "held_owner": lease.owner,
        "held_term": lease.term,
    }
