"""What may exist only once: the database keeps it so, this says it in the words of contract 1.5."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from hydria.model.errors import Conflict
from hydria.model.listener import Listener
from hydria.model.member import Member
from hydria.model.resource import Resource
from hydria.store import rows, tables


def insert(tx: sa.Connection, item: Resource) -> None:
    """Insert a new object; Conflict when another one stands in its place already."""
    if isinstance(item, Listener):
        # The message names what the other one speaks, which cannot be asked once an insert has failed.
        for existing in rows.load(tx, Listener, tables.listeners.c.live_key == _key(item)):
            raise _taken(item, existing)
    try:
        rows.insert(tx, [item])
    except exc.IntegrityError as error:
        if "live_key" not in str(error.orig):
            raise
        raise _taken(item, item) from error


def distinct(items: Sequence[Resource]) -> None:
    """Raise Conflict when two new objects of one request cannot both exist."""
    seen: dict[str, Resource] = {}
    for item in items:
        key = _key(item)
        if key is None:
            continue
        if key in seen:
            raise _taken(item, seen[key])
        seen[key] = item


def _key(item: Resource) -> str | None:
    return tables.live_key(type(item), msgspec.structs.asdict(item))


def _taken(item: Resource, existing: Resource) -> Conflict:
    if isinstance(item, Listener) and isinstance(existing, Listener):
        return Conflict(
            f"Another Listener on this Load Balancer is already using protocol {existing.protocol}"
            f" and protocol_port {item.protocol_port}"
        )
    if isinstance(item, Member):
        return Conflict(
            f"Another member on this pool is already using ip {item.address}"
            f" on protocol_port {item.protocol_port}"
        )
    return Conflict("This pool already has a health monitor")
