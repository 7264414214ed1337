"""What the status tree of a load balancer is made of, in one statement with a branch for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from hydria.store.moments import shown
from hydria.store.tables import (
    health_monitors,
    l7policies,
    l7rules,
    listeners,
    load_balancers,
    members,
    pools,
)

_EXTRA = ("above", "other", "number")
_GOING = ("PENDING_DELETE", "DELETED")


class StatusRow(NamedTuple):
    """One object; ``since`` is in the form of responses.

    above, other, number: of a load balancer its project; of a listener its default pool; of a member its
    pool, address and port; of a monitor its pool and type; of an L7 policy its listener, pool, position.
    """

    kind: str
    id: str
    name: str
    provisioning_status: str
    operating_status: str
    fault: str | None
    since: str | None
    above: str | None
    other: str | None
    number: int | None


def load(tx: sa.Connection, load_balancer_id: str) -> Sequence[StatusRow]:
    """The load balancer and what is below it, each kind in the order of creation; none when it is gone.

    Of L7 policies those that send traffic to a pool: enabled, and with a rule.
    """
    found = tx.execute(_statement(), {"balancer": load_balancer_id})
    return [StatusRow._make(row[:10]) for row in found]


@cache
def _statement() -> sa.CompoundSelect[Any]:
    rule = l7rules.c
    ruled = (
        sa.select(rule.id)
        .where(rule.l7policy_id == l7policies.c.id, rule.provisioning_status.not_in(_GOING))
        .exists()
    )
    sending = sa.and_(
        l7policies.c.redirect_pool_id.is_not(None),
        l7policies.c.admin_state_up.is_(True),
        l7policies.c.provisioning_status.not_in(_GOING),
        ruled,
    )
    branches = (
        _branch(load_balancers, load_balancers.c.project_id).where(
            load_balancers.c.id == sa.bindparam("balancer"),
            load_balancers.c.provisioning_status != "DELETED",
        ),
        _below(listeners, listeners.c.default_pool_id),
        _below(pools),
        _below(members, members.c.pool_id, members.c.address, members.c.protocol_port),
        # One that is on its way out may have a successor already.
        _below(health_monitors, health_monitors.c.pool_id, health_monitors.c.type),
        _below(
            l7policies, l7policies.c.listener_id, l7policies.c.redirect_pool_id, l7policies.c.position
        ).where(sending),
    )
    return sa.union_all(*branches).order_by("made", "id")


def _below(table: sa.Table, *more: sa.Column[Any]) -> sa.Select[Any]:
    return _branch(table, *more).where(table.c.load_balancer_id == sa.bindparam("balancer"))


def _branch(table: sa.Table, *more: sa.Column[Any]) -> sa.Select[Any]:
    column = table.c
    text, number = sa.cast(sa.null(), sa.String(255)), sa.cast(sa.null(), sa.BigInteger())
    extra: list[sa.ColumnElement[Any]] = [*more, *(text, text, number)[len(more) :]]
    return sa.select(
        sa.literal_column(f"'{table.name}'", sa.String()).label("kind"),
        column.id.label("id"),
        column.name.label("name"),
        column.provisioning_status,
        column.operating_status,
        column.fault,
        shown(column.fault_since).label("since"),
        *(value.label(name) for value, name in zip(extra, _EXTRA, strict=True)),
        column.created_at.label("made"),
    )
