"""Writing operating statuses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy as sa

from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus
from hydria.store import events, rows, tables


def write(tx: sa.Connection, changed: Iterable[tuple[Resource, OperatingStatus]]) -> None:
    """Write those that are others than before; the load balancer is locked, as for every change."""
    grouped: dict[tuple[type[Resource], OperatingStatus], list[str]] = defaultdict(list)
    for item, status in changed:
        grouped[type(item), status].append(item.id)
        events.note_status(tx, item, operating_status=status)
    for (resource, status), identifiers in grouped.items():
        table = tables.table_of(resource)
        written = {"operating_status": str(status), "updated_at": rows.now()}
        tx.execute(sa.update(table).where(table.c.id.in_(identifiers)).values(written))
