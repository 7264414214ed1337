"""What a transaction changes, for whoever wants to hear of it once it is committed (:meth:`Store.observe`).

The functions that write rows note here what they do. Where nobody observes the store, which is the rule,
nothing is collected and no statement added. What is noted in a transaction that is rolled back never was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus

_KEY = "hydria.events"


class What(StrEnum):
    """What happened to an object; START: it is wanted, END: it is so, ERROR: it could not be done."""

    CREATE_START = "create.start"
    CREATE_END = "create.end"
    CREATE_ERROR = "create.error"
    UPDATE_START = "update.start"
    UPDATE_END = "update.end"
    UPDATE_ERROR = "update.error"
    DELETE_START = "delete.start"
    DELETE_END = "delete.end"
    FAILOVER_START = "failover.start"
    FAILOVER_END = "failover.end"
    STATUS = "status.update"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that has happened to one object.

    resource: its declaration. item: the object as it is now, where the transaction had it at hand.
    facts: what the event says besides, by the name that it has in the API.
    """

    resource: Any
    what: What
    identifier: str
    item: Any = None
    facts: Mapping[str, object] = field(default_factory=dict)
    load_balancer_id: str | None = None
    project_id: str | None = None
    request_id: str = ""


@dataclass(slots=True)
class Collected:
    """The events of one transaction, and the load balancer that it is about."""

    events: list[Event] = field(default_factory=list)
    load_balancer_id: str | None = None
    project_id: str | None = None
    request_id: str = ""

    def add(self, resource: Any, what: What, identifier: str, item: Any, facts: Mapping[str, object]) -> None:
        """Take in one event."""
        owner = identifier if resource is LoadBalancer else getattr(item, "load_balancer_id", None)
        project_id = getattr(item, "project_id", None)
        event = Event(
            resource, what, identifier, item, facts,
            owner or self.load_balancer_id, project_id or self.project_id, self.request_id,
        )  # fmt: skip
        self.events.append(event)


def begin(tx: sa.Connection) -> None:
    """Collect what this transaction changes."""
    tx.info[_KEY] = Collected()


def end(tx: sa.Connection) -> list[Event]:
    """What it has changed, and no more of it."""
    collected = tx.info.pop(_KEY, None)
    return [] if collected is None else collected.events


def collecting(tx: sa.Connection) -> bool:
    """Whether anybody wants to know."""
    return _KEY in tx.info


def about(
    tx: sa.Connection, load_balancer_id: str, project_id: str | None = None, request_id: str = ""
) -> None:
    """Say which load balancer the events of the transaction belong to that do not say so themselves."""
    collected = tx.info.get(_KEY)
    if collected is not None:
        collected.load_balancer_id = load_balancer_id
        collected.project_id = project_id or collected.project_id
        collected.request_id = request_id or collected.request_id


def note(tx: sa.Connection, item: Any, what: What, **facts: object) -> None:
    """Note what happened to an object at hand."""
    collected = tx.info.get(_KEY)
    if collected is not None:
        collected.add(type(item), what, _key(item), item, facts)


def note_all(tx: sa.Connection, items: Iterable[Any], what: What) -> None:
    """Note what happened to objects at hand."""
    collected = tx.info.get(_KEY)
    if collected is not None:
        for item in items:
            collected.add(type(item), what, _key(item), item, {})


def note_ids(
    tx: sa.Connection, resource: Any, identifiers: Collection[str], what: What, **facts: object
) -> None:
    """Note what happened to objects of which no more than the ids is known."""
    collected = tx.info.get(_KEY)
    if collected is not None:
        for identifier in identifiers:
            collected.add(resource, what, identifier, None, facts)


def note_status(
    tx: sa.Connection,
    item: Resource,
    provisioning_status: ProvisioningStatus | None = None,
    operating_status: OperatingStatus | None = None,
) -> None:
    """Note statuses that an object gets, as far as they are others than it had."""
    collected = tx.info.get(_KEY)
    if collected is None:
        return
    facts: dict[str, object] = {}
    if provisioning_status is not None and provisioning_status != item.provisioning_status:
        facts["provisioning_status"] = str(provisioning_status)
    if operating_status is not None and operating_status != item.operating_status:
        facts["operating_status"] = str(operating_status)
    if facts:
        collected.add(type(item), What.STATUS, item.id, item, facts)


def settle(
    tx: sa.Connection, item: Resource, status: ProvisioningStatus, fault: Mapping[str, object] | None = None
) -> None:
    """Note how what was wanted of an object has ended: ACTIVE, ERROR or DELETED.

    ``item``: the object as it was before. What stays as it was is no event.
    """
    if not collecting(tx) or status is item.provisioning_status:
        return
    if status is ProvisioningStatus.DELETED:
        note(tx, item, What.DELETE_END)
    elif status is ProvisioningStatus.ERROR:
        note(tx, item, What.CREATE_ERROR if _is_new(item) else What.UPDATE_ERROR, fault=dict(fault or {}))
    elif status is ProvisioningStatus.ACTIVE and (_is_new(item) or _is_updated(item)):
        note(tx, item, What.CREATE_END if _is_new(item) else What.UPDATE_END)
    note_status(tx, item, status)


def _key(item: Any) -> str:
    """What names the object in URLs: not all have an id."""
    return str(getattr(item, getattr(type(item), "key", "id")))


def _is_new(item: Resource) -> bool:
    """Whether the object has never been there before."""
    status = item.provisioning_status
    failed = status is ProvisioningStatus.ERROR and not item.been_active
    return failed or status is ProvisioningStatus.PENDING_CREATE


def _is_updated(item: Resource) -> bool:
    """Whether the object itself was changed; a load balancer is also pending for what is below it."""
    if not isinstance(item, LoadBalancer):
        return True
    return item.own_generation > item.applied_generation or item.own_generation == item.generation
