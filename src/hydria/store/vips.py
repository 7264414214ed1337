"""Which ports VIPs are on."""

from __future__ import annotations

import sqlalchemy as sa

from hydria.store.tables import load_balancers


def owners(tx: sa.Connection, project_id: str | None) -> dict[str, str]:
    """Id of a port -> project of the load balancer whose VIP is there; None: of all projects."""
    columns = load_balancers.c
    asked = sa.select(columns.vip_port_id, columns.project_id).where(columns.vip_port_id.is_not(None))
    if project_id is not None:
        asked = asked.where(columns.project_id == project_id)
    return {row.vip_port_id: row.project_id for row in tx.execute(asked)}
