"""What third-party providers report: statuses of objects, counters of listeners (contract 3.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from hydria.model.l7policy import L7Policy
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.store import events, handovers, positions, rows, tables, trees
from hydria.store.batches import batches
from hydria.store.tables import COUNTERS, listener_statistics

_FAULT = "The provider has reported ERROR."


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider says about one object; None: nothing about that."""

    resource: type[Resource]
    id: str
    provisioning: ProvisioningStatus | None = None
    operating: OperatingStatus | None = None


class Refused(Exception):  # noqa: N818  (what happens to a report)
    """A report that cannot be recorded; nothing of its request is."""

    def __init__(self, report: Report, reason: str) -> None:
        super().__init__(reason)
        self.report = report


# Whether the provider of this name reports statuses at all.
Reports = Callable[[str], bool]


def record(tx: sa.Connection, reports: Sequence[Report], may_report: Reports) -> None:
    """Write what was reported, in this order; Refused when one of the reports cannot be.

    A load balancer that is DELETED takes everything below it along, and so does a pool. That something is
    DELETED which is gone already is no news.
    """
    owners = _owners(tx, reports)
    balancers = _lock(tx, set(owners.values()))
    items = _items(tx, reports)
    written: dict[Report, Resource] = {}
    for report in reports:
        item = items.get((report.resource, report.id))
        if item is None or item.provisioning_status is ProvisioningStatus.DELETED:
            if report.provisioning is ProvisioningStatus.DELETED:
                continue
            raise Refused(report, f"{report.resource.label} {report.id} not found.")
        balancer = balancers.get(owners[report.resource, report.id])
        if balancer is None:
            raise Refused(report, f"{report.resource.label} {report.id} not found.")
        check_provider(report, balancer.provider, may_report)
        written[report] = item
    _write(tx, written)
    handovers.taken(tx, [report.id for report in written if _is_done(report)])


def check_provider(report: Report, provider: str, may_report: Reports) -> None:
    """Raise Refused for an object of a provider whose statuses come from elsewhere.

    What a worker brings about and what heartbeats say would be at odds with it.
    """
    if not may_report(provider):
        raise Refused(
            report,
            f"{report.resource.label} {report.id} belongs to the provider '{provider}', whose statuses and"
            " statistics are not reported through the driver agent.",
        )


def count(tx: sa.Connection, listener_id: str, counters: Mapping[str, int]) -> None:
    """Write what a provider has counted for a listener, in place of what it said before.

    Kept as of an amphora that has the listener's own id. Nothing is done for a listener that has just gone.
    """
    table = listener_statistics
    key = {"listener_id": listener_id, "amphora_id": listener_id}
    update = sa.update(table).where(*(table.c[name] == value for name, value in key.items()))
    if tx.execute(update.values(counters)).rowcount:
        return
    base = {f"base_{name}": 0 for name in COUNTERS}
    try:
        with tx.begin_nested():
            tx.execute(table.insert().values({**key, "epoch": 0, **counters, **base}))
    except exc.IntegrityError:
        tx.execute(update.values(counters))  # somebody else was first


def providers_of(tx: sa.Connection, resource: type[Resource], ids: Collection[str]) -> dict[str, str]:
    """Id -> provider of these objects below load balancers, as far as they exist."""
    table, balancers = tables.table_of(resource), tables.load_balancers
    found: dict[str, str] = {}
    for batch in batches(ids):
        query = (
            sa.select(table.c.id, balancers.c.provider)
            .join(balancers, balancers.c.id == table.c.load_balancer_id)
            .where(table.c.id.in_(batch))
        )
        found.update((row.id, row.provider) for row in tx.execute(query))
    return found


def _owners(tx: sa.Connection, reports: Iterable[Report]) -> dict[tuple[type[Resource], str], str]:
    """Load balancer of each of the objects; what does not exist is left out."""
    owners: dict[tuple[type[Resource], str], str] = {}
    for resource, ids in _by_resource(reports).items():
        table = tables.table_of(resource)
        owner = table.c.id if resource is LoadBalancer else table.c.load_balancer_id
        for batch in batches(ids):
            found = tx.execute(sa.select(table.c.id, owner.label("owner")).where(table.c.id.in_(batch)))
            owners.update(((resource, row.id), row.owner) for row in found)
    return owners


def _lock(tx: sa.Connection, ids: Collection[str]) -> dict[str, LoadBalancer]:
    """The load balancers, locked in the order of their ids, so that two reports never wait for each other."""
    table = tables.load_balancers
    locked: dict[str, LoadBalancer] = {}
    for batch in batches(ids):
        query = sa.select(table).where(table.c.id.in_(batch)).order_by(table.c.id).with_for_update()
        for row in tx.execute(query):
            balancer = rows.from_row(LoadBalancer, row)
            locked[balancer.id] = balancer
    return locked


def _items(tx: sa.Connection, reports: Iterable[Report]) -> dict[tuple[type[Resource], str], Resource]:
    """The objects as they are, read under the lock."""
    items: dict[tuple[type[Resource], str], Resource] = {}
    for resource, ids in _by_resource(reports).items():
        for batch in batches(ids):
            loaded = rows.load(tx, resource, tables.table_of(resource).c.id.in_(batch))
            items.update(((resource, item.id), item) for item in loaded)
    return items


def _write(tx: sa.Connection, written: Mapping[Report, Resource]) -> None:
    grouped: dict[tuple[Any, ...], list[Resource]] = defaultdict(list)
    moment = rows.now()
    for report, item in written.items():
        _note(tx, report, item, moment)
        grouped[report.resource, report.provisioning, report.operating, _is_news(report, item)].append(item)
        if _comes_back(report, item):
            _claim_again(tx, report, item)
    for (resource, provisioning, operating, news), items in grouped.items():
        if provisioning is ProvisioningStatus.DELETED:
            _delete(tx, resource, [item.id for item in items])
            continue
        values: dict[str, Any] = {"updated_at": moment} if news else {}
        if provisioning is ProvisioningStatus.ACTIVE:
            values["been_active"] = True
        if provisioning is not None:
            values |= {"provisioning_status": str(provisioning), "fault": None, "fault_since": None}
        if provisioning is ProvisioningStatus.ERROR:
            since = sa.func.coalesce(tables.table_of(resource).c.fault_since, moment)
            values |= {"fault": _FAULT, "fault_since": since}
        if operating is not None:
            values["operating_status"] = str(operating)
        table = tables.table_of(resource)
        for batch in batches([item.id for item in items]) if values else ():
            tx.execute(sa.update(table).where(table.c.id.in_(batch)).values(values))
    _reorder(tx, written)


def _reorder(tx: sa.Connection, written: Mapping[Report, Resource]) -> None:
    """Keep the order of L7 policies without gaps where one goes without having been asked to, or stays."""
    changed = {
        item.listener_id
        for report, item in written.items()
        if isinstance(item, L7Policy)
        and (
            _comes_back(report, item) or (item.desired and report.provisioning is ProvisioningStatus.DELETED)
        )
    }
    for listener_id in sorted(changed):
        positions.renumber(tx, listener_id)


def _note(tx: sa.Connection, report: Report, item: Resource, moment: datetime) -> None:
    if report.resource is LoadBalancer and report.provisioning is ProvisioningStatus.DELETED:
        return  # it is noted with everything below it
    if report.provisioning is not None:
        since = (item.fault_since or moment).isoformat(timespec="seconds")
        events.settle(tx, item, report.provisioning, {"message": _FAULT, "since": since})
    events.note_status(tx, item, operating_status=report.operating)


def _delete(tx: sa.Connection, resource: type[Resource], ids: Sequence[str]) -> None:
    if resource is not LoadBalancer:
        trees.remove(tx, resource, ids)
        return
    for identifier in ids:
        tree = trees.load_tree(tx, identifier)
        if tree is not None:
            trees.mark_deleted(tx, tree, rows.now())


def _is_news(report: Report, item: Resource) -> bool:
    """Whether a status is another one than the object had: the same may be reported every second."""
    return (
        report.provisioning not in (None, item.provisioning_status)
        or report.operating not in (None, item.operating_status)
    )  # fmt: skip


def _is_done(report: Report) -> bool:
    """Whether the provider has done what it was asked, so that it has taken the change."""
    return report.resource is LoadBalancer and report.provisioning in (
        ProvisioningStatus.ACTIVE,
        ProvisioningStatus.DELETED,
    )


def _comes_back(report: Report, item: Resource) -> bool:
    """Whether an object that was to be deleted stays after all."""
    return not item.desired and report.provisioning in (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)


def _claim_again(tx: sa.Connection, report: Report, item: Resource) -> None:
    """Give an object that stays the key back which keeps it unique."""
    table = tables.table_of(report.resource)
    if "live_key" not in table.c:
        return
    key = rows.new_row(item)["live_key"]
    try:
        with tx.begin_nested():
            tx.execute(sa.update(table).where(table.c.id == item.id).values(live_key=key))
    except exc.IntegrityError as taken:
        reason = f"{item.label} {item.id} was to be deleted, and another one has taken its place."
        raise Refused(report, reason) from taken


def _by_resource(reports: Iterable[Report]) -> dict[type[Resource], list[str]]:
    found: dict[type[Resource], dict[str, None]] = defaultdict(dict)
    for report in reports:
        found[report.resource][report.id] = None
    return {resource: list(ids) for resource, ids in found.items()}
