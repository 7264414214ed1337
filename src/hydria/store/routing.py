"""Which listeners send traffic to a pool: those whose default pool it is, and those with an L7 policy for it.

Of policies those count that are enabled and have a rule, and are not on their way out (contract 1.8, 1.12).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from hydria.model.statuses import ProvisioningStatus
from hydria.store.tables import l7policies, l7rules, listeners

_GOING = str(ProvisioningStatus.PENDING_DELETE)


def routes(
    *columns: str, where: Callable[[sa.Column[Any]], sa.ColumnElement[bool]]
) -> sa.CompoundSelect[Any]:
    """The columns ``pool`` and ``listener`` (those of them that are asked for) of every way to some pools.

    ``where`` makes the condition on the column that names the pool. A way can be there twice.
    """
    default = {"pool": listeners.c.default_pool_id, "listener": listeners.c.id}
    by_policy = {"pool": l7policies.c.redirect_pool_id, "listener": l7policies.c.listener_id}
    return sa.union_all(
        sa.select(*(default[name].label(name) for name in columns)).where(where(default["pool"])),
        sa.select(*(by_policy[name].label(name) for name in columns)).where(
            where(by_policy["pool"]), _routing()
        ),
    )


def _routing() -> sa.ColumnElement[bool]:
    ruled = sa.exists().where(
        l7rules.c.l7policy_id == l7policies.c.id, l7rules.c.provisioning_status != _GOING
    )
    return sa.and_(l7policies.c.admin_state_up.is_(True), l7policies.c.provisioning_status != _GOING, ruled)
