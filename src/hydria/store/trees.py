"""Whole load balancers: read for convergence, and marked as applied afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from hydria.model import kinds
from hydria.model.amphora import Amphora, AmphoraPort, Purpose
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import FAULT_LENGTH, Resource
from hydria.model.statuses import OperatingStatus, ProvisioningStatus
from hydria.model.tree import Tree
from hydria.store import amphora_ports, events, rows, tables
from hydria.store.batches import batches

_CHILDREN: tuple[type[Resource], ...] = (
    L7Rule, L7Policy, RateLimitRule, RateLimitPolicy, HealthMonitor, Member, Pool, Listener,
)  # fmt: skip
# What goes with an object of this kind, and the column that names it.
_HANGING: Mapping[type[Resource], Sequence[tuple[type[Resource], str]]] = {
    Pool: ((HealthMonitor, "pool_id"), (Member, "pool_id")),
    L7Policy: ((L7Rule, "l7policy_id"),),
    RateLimitPolicy: ((RateLimitRule, "rate_limit_policy_id"),),
    Listener: ((L7Policy, "listener_id"), (RateLimitPolicy, "listener_id")),
}
# Nobody observes these: once they are applied, their operating status is what their owner says.
_UNOBSERVED = (L7Policy, L7Rule, RateLimitPolicy, RateLimitRule)
_UNFINISHED = (ProvisioningStatus.PENDING_CREATE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.ERROR)
# How often a tree that changes while it is read is read again.
_READS = 5
R = TypeVar("R", bound=Resource)


class Whole(NamedTuple):
    """A load balancer's tree, its amphorae, and their ports on the VIP network as recorded, by amphora id."""

    tree: Tree
    amphorae: tuple[Amphora, ...]
    vip_ports: Mapping[str, AmphoraPort]


def load_whole(tx: sa.Connection, load_balancer_id: str) -> Whole | None:
    """A load balancer with its amphorae, all of one generation; None when it does not exist.

    For connections in autocommit mode: what is read there in several statements can be of before and of after
    a change, a state that nobody ever wanted. One that changes every time is given as it was read last: its
    next pass is due already.
    """
    found = None
    for _ in range(_READS):
        tree = load_tree(tx, load_balancer_id)
        if tree is None:
            return None
        generation, amphorae, ports = _generation_and_amphorae(tx, load_balancer_id)
        found = Whole(tree, amphorae, ports)
        if generation == tree.load_balancer.generation:
            break
    return found


def load_tree(tx: sa.Connection, load_balancer_id: str) -> Tree | None:
    """A load balancer with everything below it; None when it does not exist.

    Of one moment when the transaction has locked the load balancer.
    """
    balancer = rows.load_one(tx, LoadBalancer, load_balancer_id)
    if balancer is None:
        return None
    listeners, policies, limited = _listeners_and_policies(tx, load_balancer_id)

    def below(resource: type[R], *, present: bool = True) -> tuple[R, ...]:
        # Most load balancers have no rules and no limits: no statement for them.
        return rows.load_below(tx, resource, load_balancer_id) if present else ()

    return Tree(
        balancer,
        listeners,
        below(Pool),
        below(Member),
        below(HealthMonitor),
        policies,
        below(L7Rule, present=bool(policies)),
        below(RateLimitPolicy, present=limited),
        below(RateLimitRule, present=limited),
    )


def _listeners_and_policies(
    tx: sa.Connection, load_balancer_id: str
) -> tuple[tuple[Listener, ...], tuple[L7Policy, ...], bool]:
    """A load balancer's listeners, their L7 policies, and whether it limits rates; in one statement."""
    found = tx.execute(_listeners_and_policies_query(), {"balancer": load_balancer_id}).all()
    width = len(tables.listeners.c)
    owners = {row[0]: row[:width] for row in found}
    return (
        tuple(rows.from_row(Listener, row) for row in owners.values()),
        tuple(rows.from_row(L7Policy, row[width:-1]) for row in found if row[width] is not None),
        any(row[-1] for row in found),
    )


@cache
def _listeners_and_policies_query() -> sa.Select[Any]:
    listeners, policies, limits = tables.listeners, tables.l7policies, tables.limit_policies
    wanted: sa.BindParameter[str] = sa.bindparam("balancer")
    limited = sa.select(limits.c.id).where(limits.c.load_balancer_id == wanted).exists()
    return (
        sa.select(listeners, policies, limited)
        .outerjoin(policies, policies.c.listener_id == listeners.c.id)
        .where(listeners.c.load_balancer_id == wanted)
    )


def load_amphorae(tx: sa.Connection, load_balancer_id: str) -> tuple[Amphora, ...]:
    """The amphorae of a load balancer, those being deleted included."""
    return rows.load(
        tx,
        Amphora,
        tables.amphorae.c.load_balancer_id == load_balancer_id,
        tables.amphorae.c.status != "DELETED",
    )


def lock_generation(tx: sa.Connection, load_balancer_id: str) -> int:
    """The generation that is wanted, unchanged until the transaction ends.

    The load balancer's row is what every transaction locks first, here as in the API, so none deadlock.
    """
    return int(tx.execute(_lock_generation(), {"balancer": load_balancer_id}).scalar_one())


@cache
def _lock_generation() -> sa.Select[Any]:
    balancer = tables.load_balancers.c
    return sa.select(balancer.generation).where(balancer.id == sa.bindparam("balancer")).with_for_update()


def mark_applied(
    tx: sa.Connection,
    tree: Tree,
    generation: int,
    faults: Mapping[str, str] | None = None,
    *,
    retry_at: datetime | None = None,
    look_at: datetime | None = None,
) -> None:
    """Record that every amphora serves ``generation`` of this tree, as far as it can be served.

    faults: id of an object -> why it is not served as it was wanted, in words for the owner; all others
    become ACTIVE. retry_at: when to see whether it can be by then; None: not before something changes.
    look_at: when to go on with what is still under way; None: nothing is.
    Only tables in which the tree had something pending are written.
    """
    # What a daemon wrote may have characters that no database takes.
    told = {key: kinds.shown(text, FAULT_LENGTH - 1) for key, text in (faults or {}).items()}
    applied = {"balancer": tree.load_balancer.id, "until": generation, "moment": rows.now()}
    if events.collecting(tx):
        _note_applied(tx, tree, generation, told)
    for resource in _CHILDREN:
        present = [item for item in tree.children() if type(item) is resource]
        pending = [item for item in present if _unfinished(item, generation)]
        _remove(tx, resource, [item.id for item in pending if not item.desired])
        faulty = [item for item in present if item.desired and item.id in told]
        for item in faulty:
            what = {"faulty": item.id, "until": generation, "text": told[item.id]}
            tx.execute(_faulty(resource), what | {"moment": applied["moment"]})
        if any(item.desired and item.id not in told for item in pending):
            if not faulty:
                tx.execute(_applied(resource), applied)
            for well in batches([item.id for item in pending if faulty and item.id not in told]):
                tx.execute(_applied(resource).where(tables.table_of(resource).c.id.in_(well)), applied)
    attempts = 0 if retry_at is None else tree.load_balancer.attempts + 1
    tx.execute(_applied_balancer(), applied | {"attempt": attempts, "again": retry_at, "look": look_at})


def mark_unchanged(
    tx: sa.Connection, tree: Tree, *, retry_at: datetime | None = None, look_at: datetime | None = None
) -> None:
    """Record that what is wanted was applied before; what was said of the objects then stays as it is."""
    balancer = tree.load_balancer
    done = {"balancer": balancer.id, "until": balancer.generation, "moment": rows.now()}
    attempts = 0 if retry_at is None else balancer.attempts + 1
    tx.execute(_applied_balancer(), done | {"attempt": attempts, "again": retry_at, "look": look_at})


def mark_under_way(tx: sa.Connection, load_balancer_id: str, look_at: datetime) -> None:
    """Record when to look again at what takes its time; nothing has failed."""
    rows.update_one(tx, LoadBalancer, load_balancer_id, {"look_at": look_at})


@cache
def _faulty(resource: type[Resource]) -> sa.Update:
    """An object that cannot be served as it was wanted up to a generation becomes ERROR, and says why."""
    table = tables.table_of(resource)
    until: sa.BindParameter[int] = sa.bindparam("until", type_=sa.BigInteger())
    operating = [("operating_status", str(OperatingStatus.ERROR))] if resource in _UNOBSERVED else []
    going = [str(ProvisioningStatus.PENDING_DELETE), str(ProvisioningStatus.DELETED)]
    return (
        sa.update(table)
        .where(
            table.c.id == sa.bindparam("faulty"),
            table.c.generation <= until,
            table.c.provisioning_status.not_in(going),
        )
        .ordered_values(
            *_status(table, sa.true(), ProvisioningStatus.ERROR, _moment()),
            ("fault", sa.bindparam("text")),
            # Since it was first so; one that is shown as anything else was well before.
            ("fault_since", sa.func.coalesce(table.c.fault_since, _moment())),
            *operating,
        )
    )


@cache
def _applied(resource: type[Resource]) -> sa.Update:
    """What has been pending up to a generation becomes ACTIVE."""
    table = tables.table_of(resource)
    values: dict[str, Any] = {
        "provisioning_status": str(ProvisioningStatus.ACTIVE), "fault": None, "fault_since": None,
        "been_active": True, "updated_at": _moment(),
    }  # fmt: skip
    if "previous" in table.c:
        values["previous"] = None
    if resource in _UNOBSERVED:
        values["operating_status"] = sa.case(
            (table.c.admin_state_up.is_(True), str(OperatingStatus.ONLINE)),
            else_=str(OperatingStatus.OFFLINE),
        )
    unfinished = _unfinished_rows(resource, sa.bindparam("balancer"), sa.bindparam("until"))
    return sa.update(table).where(unfinished).values(values)


@cache
def _applied_balancer() -> sa.Update:
    """A load balancer that nothing newer is wanted of becomes ACTIVE."""
    balancer = tables.load_balancers
    applied: sa.BindParameter[int] = sa.bindparam("until", type_=sa.BigInteger())
    becomes = sa.and_(balancer.c.generation == applied, balancer.c.provisioning_status != "PENDING_DELETE")
    return (
        sa.update(balancer)
        .where(balancer.c.id == sa.bindparam("balancer"))
        .ordered_values(
            ("been_active", sa.or_(balancer.c.been_active, becomes)),
            *_status(balancer, becomes, ProvisioningStatus.ACTIVE, _moment()),
            ("applied_generation", applied),
            ("fault", None),
            ("fault_since", None),
            ("attempts", sa.bindparam("attempt", type_=sa.BigInteger())),
            ("retry_at", sa.bindparam("again", type_=balancer.c.retry_at.type)),
            ("look_at", sa.bindparam("look", type_=balancer.c.look_at.type)),
        )
    )


def _moment() -> sa.BindParameter[datetime]:
    return sa.bindparam("moment", type_=tables.MOMENT)


def _status(
    table: sa.Table, becomes: sa.ColumnElement[bool], status: ProvisioningStatus, moment: Any
) -> Iterator[tuple[str, Any]]:
    """The status that rows get which meet a condition, and when it changed; only in that order.

    MariaDB sets one column after the other, and reads what it has set already.
    """
    changes = sa.and_(becomes, table.c.provisioning_status != str(status))
    yield "updated_at", sa.case((changes, moment), else_=table.c.updated_at)
    yield "provisioning_status", sa.case((becomes, str(status)), else_=table.c.provisioning_status)


def _note_applied(tx: sa.Connection, tree: Tree, generation: int, faults: Mapping[str, str]) -> None:
    """Note what becomes ACTIVE or ERROR, or goes."""
    balancer = tree.load_balancer
    events.about(tx, balancer.id, balancer.project_id, balancer.request_id)
    for item in tree.children():
        if item.id in faults and item.desired and item.generation <= generation:
            since = (getattr(item, "fault_since", None) or rows.now()).isoformat(timespec="seconds")
            events.settle(tx, item, ProvisioningStatus.ERROR, {"message": faults[item.id], "since": since})
            if isinstance(item, _UNOBSERVED):
                events.note_status(tx, item, operating_status=OperatingStatus.ERROR)
    for item in _still_unfinished(tx, tree, generation):
        if item.desired and item.id in faults:
            continue
        settled = ProvisioningStatus.ACTIVE if item.desired else ProvisioningStatus.DELETED
        events.settle(tx, item, settled)
        if item.desired and isinstance(item, _UNOBSERVED):
            status = OperatingStatus.ONLINE if item.admin_state_up else OperatingStatus.OFFLINE
            events.note_status(tx, item, operating_status=status)
    if balancer.desired and _is_wanted(tx, balancer.id, generation):
        events.settle(tx, balancer, ProvisioningStatus.ACTIVE)


def _note_failed(tx: sa.Connection, tree: Tree, generation: int, fault: Mapping[str, object]) -> None:
    """Note what becomes ERROR."""
    balancer = tree.load_balancer
    events.about(tx, balancer.id, balancer.project_id, balancer.request_id)
    for item in _still_unfinished(tx, tree, generation):
        if item.desired:
            events.settle(tx, item, ProvisioningStatus.ERROR, fault)
    if balancer.desired and _is_wanted(tx, balancer.id, generation):
        events.settle(tx, balancer, ProvisioningStatus.ERROR, fault)


def _still_unfinished(tx: sa.Connection, tree: Tree, generation: int) -> Iterator[Resource]:
    """What of a tree was pending or failed, and has not changed since it was read."""
    for resource in _CHILDREN:
        pending = [
            item for item in tree.children() if type(item) is resource and _unfinished(item, generation)
        ]
        if not pending:
            continue
        column, unfinished = (
            tables.table_of(resource).c,
            _unfinished_rows(resource, tree.load_balancer.id, generation),
        )
        unchanged = set(tx.execute(sa.select(column.id).where(unfinished)).scalars())
        yield from (item for item in pending if not item.desired or item.id in unchanged)


def _is_wanted(tx: sa.Connection, load_balancer_id: str, generation: int) -> bool:
    balancer = tables.load_balancers.c
    query = sa.select(balancer.id).where(
        balancer.id == load_balancer_id,
        balancer.generation == generation,
        balancer.provisioning_status != str(ProvisioningStatus.PENDING_DELETE),
    )
    return tx.execute(query).first() is not None


def note_secrets(
    tx: sa.Connection, load_balancer_id: str, versions: str, references: str, generation: int
) -> None:
    """Record which versions of which secrets the amphorae have, and from which generation on."""
    row = {
        "secret_versions": versions, "secret_references": references, "secret_generation": generation
    }  # fmt: skip
    rows.update_one(tx, LoadBalancer, load_balancer_id, row)


def mark_failed(
    tx: sa.Connection, tree: Tree, generation: int, *, fault: str, retry_at: datetime | None, show: bool
) -> None:
    """Record why a pass failed, in words for the owner, and when the next is due.

    With ``show`` what was pending becomes ERROR, unless it is being deleted; without, it stays as it is. What
    fails again keeps the moment since which it has.
    """
    # What a daemon wrote may have characters that no database takes.
    text, moment = kinds.shown(fault, FAULT_LENGTH - 1), rows.now()
    if show and events.collecting(tx):
        since = tree.load_balancer.fault_since or moment
        _note_failed(tx, tree, generation, {"message": text, "since": since.isoformat(timespec="seconds")})
    for resource in _CHILDREN if show else ():
        if any(
            type(item) is resource and item.desired and _unfinished(item, generation)
            for item in tree.children()
        ):
            table = tables.table_of(resource)
            tx.execute(
                sa.update(table)
                .where(_unfinished_rows(resource, tree.load_balancer.id, generation))
                .ordered_values(
                    *_status(table, sa.true(), ProvisioningStatus.ERROR, moment),
                    ("fault", text),
                    ("fault_since", sa.func.coalesce(table.c.fault_since, moment)),
                )
            )
    balancer = tables.load_balancers
    becomes = sa.and_(
        sa.literal(show),
        balancer.c.generation == generation,
        balancer.c.provisioning_status != "PENDING_DELETE",
    )
    tx.execute(
        sa.update(balancer)
        .where(balancer.c.id == tree.load_balancer.id)
        .ordered_values(
            *_status(balancer, becomes, ProvisioningStatus.ERROR, moment),
            ("fault", text),
            ("fault_since", sa.func.coalesce(balancer.c.fault_since, moment)),
            ("attempts", balancer.c.attempts + 1),
            ("retry_at", retry_at),
            ("look_at", None),
        )
    )


def mark_deleted(tx: sa.Connection, tree: Tree, moment: datetime) -> None:
    """Remove everything below a load balancer, and keep its row as DELETED until it is purged.

    Its lease goes too, so that nobody converges it any more, whatever wakes them.
    """
    balancer, balancer_id = tables.load_balancers, tree.load_balancer.id
    if events.collecting(tx):
        events.about(tx, balancer_id, tree.load_balancer.project_id, tree.load_balancer.request_id)
        for item in (*tree.children(), tree.load_balancer):
            events.settle(tx, item, ProvisioningStatus.DELETED)
    for resource in _CHILDREN:
        _remove(tx, resource, [item.id for item in tree.children() if type(item) is resource])
    tx.execute(sa.delete(tables.tags).where(tables.tags.c.resource_id == balancer_id))
    tx.execute(sa.delete(tables.leases).where(tables.leases.c.load_balancer_id == balancer_id))
    tx.execute(
        sa.update(balancer)
        .where(balancer.c.id == balancer_id)
        .values(
            provisioning_status=str(ProvisioningStatus.DELETED),
            operating_status=str(OperatingStatus.OFFLINE),
            applied_generation=balancer.c.generation,
            updated_at=moment,
            fault=None,
            fault_since=None,
            retry_at=None,
            look_at=None,
        )
    )


def remove(tx: sa.Connection, resource: type[Resource], identifiers: Sequence[str]) -> None:
    """Remove objects below load balancers, with what hangs on them."""
    for child, column in _HANGING.get(resource, ()):
        table = tables.table_of(child)
        for batch in batches(identifiers):
            remove(
                tx, child, list(tx.execute(sa.select(table.c.id).where(table.c[column].in_(batch))).scalars())
            )
    _remove(tx, resource, identifiers)


def _generation_and_amphorae(
    tx: sa.Connection, load_balancer_id: str
) -> tuple[int, tuple[Amphora, ...], dict[str, AmphoraPort]]:
    found = tx.execute(_generation_and_amphorae_query(), {"balancer": load_balancer_id}).all()
    width = len(tables.amphorae.c)
    amphorae: dict[str, Amphora] = {}
    ports: dict[str, AmphoraPort] = {}
    for row in found:
        if row[0] is None:
            continue
        amphora = rows.from_row(Amphora, row[:width])
        amphorae[amphora.id] = amphora
        if row[width] is not None:
            ports[amphora.id] = amphora_ports.from_row(row[width:-1])
    return found[0][-1] if found else 0, tuple(amphorae.values()), ports


@cache
def _generation_and_amphorae_query() -> sa.Select[Any]:
    balancers, amphorae, ports = tables.load_balancers, tables.amphorae, tables.amphora_ports
    living = sa.and_(amphorae.c.load_balancer_id == balancers.c.id, amphorae.c.status != "DELETED")
    on_vip = sa.and_(ports.c.amphora_id == amphorae.c.id, ports.c.purpose == str(Purpose.VIP))
    return (
        sa.select(*amphorae.c, *ports.c, balancers.c.generation)
        .select_from(balancers.outerjoin(amphorae, living).outerjoin(ports, on_vip))
        .where(balancers.c.id == sa.bindparam("balancer"))
    )


def _unfinished(item: Resource, generation: int) -> bool:
    return item.generation <= generation and item.provisioning_status is not ProvisioningStatus.ACTIVE


def _unfinished_rows(
    resource: type[Resource],
    load_balancer_id: str | sa.BindParameter[str],
    generation: int | sa.BindParameter[int],
) -> sa.ColumnElement[bool]:
    """What of a load balancer is pending or failed, and has not changed since a generation."""
    table = tables.table_of(resource)
    return sa.and_(
        table.c.load_balancer_id == load_balancer_id,
        table.c.generation <= generation,
        table.c.provisioning_status.in_([str(status) for status in _UNFINISHED]),
    )


def _remove(tx: sa.Connection, resource: type[Resource], identifiers: Sequence[str]) -> None:
    """Remove rows, and what refers to them without a foreign key."""
    table, tags, listeners = tables.table_of(resource), tables.tags, tables.listeners
    # By id, for MariaDB reads a whole table to find what a subquery names; engines bound the parameters.
    for batch in batches(identifiers):
        tx.execute(sa.delete(tags).where(tags.c.resource_id.in_(batch)))
        if resource is Pool:
            used = listeners.c.default_pool_id.in_(batch)
            tx.execute(sa.update(listeners).where(used).values(default_pool_id=None))
        tx.execute(sa.delete(table).where(table.c.id.in_(batch)))
