"""Who refers to a secret."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from hydria.model import secrets
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.store import rows, tables


def find(tx: sa.Connection, reference: str, project_id: str) -> Iterator[Resource]:
    """The listeners and pools of a project that name this reference, in any spelling, needed now or not."""
    wanted = secrets.identity(reference)
    for resource in (Listener, Pool):
        for item in rows.load(tx, resource, tables.table_of(resource).c.project_id == project_id):
            if item.desired and wanted in map(secrets.identity, secrets.of([item])):
                yield item
