"""The tables: those of the resources derived from their declarations, a few of our own beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from hydria.model import kinds
from hydria.model.amphora import Amphora
from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.quota import Quota
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared, Resource, attributes
from hydria.model.statuses import ListenerProtocol

RESOURCES: tuple[type[Resource], ...] = (
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
    L7Policy,
    L7Rule,
    RateLimitPolicy,
    RateLimitRule,
)
# What the operator keeps; profiles before what refers to them.
OFFERED: tuple[type[Declared], ...] = (FlavorProfile, Flavor, AvailabilityZoneProfile, AvailabilityZone)

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# Names, tags and filters are compared byte by byte on every engine, blanks at the end included.
_MARIADB = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}
_OPTIONS: Any = {f"{name}_{key}": value for name in ("mysql", "mariadb") for key, value in _MARIADB.items()}

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_TYPES: dict[str, Any] = {
    "integer": sa.BigInteger(),
    "float": sa.Double(),
    "boolean": sa.Boolean(create_constraint=False),
    "time": MOMENT,
    "json": JSON_TEXT,
}
# Column -> what it refers to, and what becomes of the row when that goes; None: it cannot go.
_REFERENCES = {
    "load_balancer_id": ("load_balancers.id", "CASCADE"),
    "pool_id": ("pools.id", "CASCADE"),
    "listener_id": ("listeners.id", "CASCADE"),
    "l7policy_id": ("l7policies.id", "CASCADE"),
    "rate_limit_policy_id": ("rate_limit_policies.id", "CASCADE"),
    "flavor_profile_id": ("flavor_profiles.id", None),
    "availability_zone_profile_id": ("availability_zone_profiles.id", None),
}
_INDEXED = {"project_id", "default_pool_id", "redirect_pool_id", "name"}


def _column(name: str, kind: str, *, nullable: bool, key: str, unique: bool) -> sa.Column[Any]:
    text, _, length = kind.partition(":")
    stored = sa.String(int(length)) if text == "text" else _TYPES[kind]
    if name == key:
        return sa.Column(name, stored, primary_key=True)
    reference = []
    if name in _REFERENCES:
        target, ondelete = _REFERENCES[name]
        reference = [sa.ForeignKey(target, ondelete=ondelete)]
    indexed = not unique and (name in _REFERENCES or name in _INDEXED)
    return sa.Column(
        name, stored, *reference, nullable=nullable, index=indexed or None, unique=unique or None
    )


def _table(declared: Any, *extra: sa.Column[Any], unique: Collection[str] = ()) -> sa.Table:
    hints = get_type_hints(declared)
    columns = [
        _column(
            name,
            attribute.kind.column,
            nullable=NoneType in get_args(hints[name]),
            key=getattr(declared, "key", "id"),
            unique=name in unique,
        )
        for name, attribute in attributes(declared).items()
        if attribute.stored
    ]
    return sa.Table(declared.table, metadata, *columns, *extra, **_OPTIONS)


def _listed_table(declared: Any, *extra: sa.Column[Any]) -> sa.Table:
    """The table of what has a list of its own.

    A page costs what is on it, whatever else there is, in the order of lists and by name: of everything, of
    a project, and of a name.
    """
    table = _table(declared, *extra)
    order = (table.c.created_at, table.c.id)
    for index in [index for index in table.indexes if index.columns.keys()[0] in ("project_id", "name")]:
        table.indexes.remove(index)
    sa.Index(None, *order)
    sa.Index(None, table.c.project_id, *order)
    sa.Index(None, table.c.name, *order)
    return table


def _index_pages(table: sa.Table, *names: str) -> None:
    """Have a page of what has one value of a column, or in the order of its values, cost what is on it."""
    for name in names:
        sa.Index(None, table.c[name], table.c.created_at, table.c.id)


def _live_key() -> sa.Column[Any]:
    # What may exist only once among the objects that are not being deleted; null for those that are.
    return sa.Column("live_key", sa.String(160), nullable=True, unique=True)


load_balancers = _listed_table(LoadBalancer)
# Workers look for those with work to do by status. The tables below it have no such index: an update by load
# balancer and status could go by the wrong one, and lock rows of other load balancers.
_index_pages(
    load_balancers, "vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "flavor_id",
    "availability_zone", "provisioning_status", "operating_status", "updated_at",
)  # fmt: skip
sa.Index(None, load_balancers.c.retry_at)
sa.Index(None, load_balancers.c.look_at)
# Housekeeping looks for deleted ones that have expired, and for those with tenants' certificates.
sa.Index("ix_load_balancers_purge", load_balancers.c.provisioning_status, load_balancers.c.updated_at)
sa.Index(None, load_balancers.c.secret_versions, load_balancers.c.id)
listeners = _listed_table(Listener, _live_key())
_index_pages(listeners, "protocol_port")
pools = _listed_table(Pool)
members = _table(Member, _live_key())
health_monitors = _listed_table(HealthMonitor, _live_key())
l7policies = _listed_table(L7Policy)
l7rules = _table(L7Rule)
limit_policies = _listed_table(RateLimitPolicy)
limit_rules = _table(RateLimitRule)
amphorae = _table(Amphora)
sa.Index(None, amphorae.c.collect_at)
sa.Index(None, amphorae.c.created_at, amphorae.c.id)
sa.Index(None, amphorae.c.lb_network_ip)
sa.Index(None, amphorae.c.compute_id)
# Housekeeping looks for certificates that end, and for deleted ones that have expired.
sa.Index(None, amphorae.c.status, amphorae.c.failover_requested, amphorae.c.cert_expiration)
sa.Index("ix_amphorae_purge", amphorae.c.status, amphorae.c.updated_at)
quotas = _table(Quota)

# What is locked while a project's objects are compared with its quotas. Projects without a row of quotas have
# one here too, once a default limits them. bounds: what they have at most, as store/quotas.py writes it.
quota_locks = sa.Table(
    "quota_locks",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    sa.Column("bounds", JSON_TEXT, nullable=True),
    **_OPTIONS,
)
flavor_profiles = _table(FlavorProfile)
flavors = _table(Flavor, unique=("name",))
availability_zone_profiles = _table(AvailabilityZoneProfile)
availability_zones = _table(AvailabilityZone)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("resource_id", sa.String(36), primary_key=True),
    sa.Column("tag", sa.String(255), primary_key=True),
    sa.Index("ix_tags_tag", "tag"),
    **_OPTIONS,
)

# Who converges a load balancer now; a deleted one has no row here. Each time that the lease is taken its term
# grows, so a holder that lost it without noticing can neither write nor give orders to amphorae any more.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column(
        "load_balancer_id",
        sa.String(36),
        sa.ForeignKey("load_balancers.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("owner", sa.String(255), nullable=True, index=True),
    sa.Column("term", sa.BigInteger, nullable=False, default=0, server_default="0"),
    sa.Column("expires_at", sa.Double, nullable=False, default=0.0),
    **_OPTIONS,
)

# A change that is being handed to a provider which reports by itself: what it replaced, as JSON, to take it
# back when the provider refuses it. begun_at is seconds since 1970.
handovers = sa.Table(
    "handovers",
    metadata,
    sa.Column(
        "load_balancer_id",
        sa.String(36),
        sa.ForeignKey("load_balancers.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("begun_at", sa.Double, nullable=False),
    sa.Column("undo", JSON_TEXT, nullable=False),
    **_OPTIONS,
)

# The last heartbeat of each amphora; seen is seconds since 1970.
amphora_health = sa.Table(
    "amphora_health",
    metadata,
    sa.Column(
        "amphora_id", sa.String(36), sa.ForeignKey("amphorae.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("seen", sa.Double, nullable=False, index=True),
    sa.Column("epoch", sa.BigInteger, nullable=False, default=0),
    sa.Column("sequence", sa.BigInteger, nullable=False, default=0),
    **_OPTIONS,
)

# What plugging an amphora found out; addresses is JSON.
amphora_ports = sa.Table(
    "amphora_ports",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column(
        "amphora_id",
        sa.String(36),
        sa.ForeignKey("amphorae.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("purpose", sa.String(8), nullable=False),
    sa.Column("network_id", sa.String(36), nullable=False),
    sa.Column("mac", sa.String(32), nullable=False),
    sa.Column("mtu", sa.BigInteger, nullable=False),
    sa.Column("addresses", JSON_TEXT, nullable=False),
    sa.Column("security", JSON_TEXT, nullable=True),
    **_OPTIONS,
)

# The health managers that share the amphorae. beat grows as long as one lives: that needs no common clock.
health_managers = sa.Table(
    "health_managers",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("beat", sa.BigInteger, nullable=False),
    **_OPTIONS,
)

# One row, locked while an amphora is declared dead, so that health managers spend one failover budget.
failover_budget = sa.Table(
    "failover_budget",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    **_OPTIONS,
)

COUNTERS = ("bytes_in", "bytes_out", "total_connections", "request_errors")

# Counters of each listener on each amphora: absolute ones of the present epoch, and the sum of all earlier
# epochs as their base. What purged amphorae have counted is the base of one row, whose amphora is PAST.
PAST = "past"
listener_statistics = sa.Table(
    "listener_statistics",
    metadata,
    sa.Column(
        "listener_id", sa.String(36), sa.ForeignKey("listeners.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("amphora_id", sa.String(36), primary_key=True, index=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("active_connections", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTERS),
    *(sa.Column(f"base_{name}", sa.BigInteger, nullable=False, default=0) for name in COUNTERS),
    **_OPTIONS,
)

BY_NAME: Mapping[str, sa.Table] = metadata.tables


def table_of(resource: Any) -> sa.Table:
    """The table of a resource."""
    return BY_NAME[resource.table]


def live_key(resource: type[Declared], values: Mapping[str, Any]) -> str | None:
    """What must be unique among the living objects of this kind; None when nothing must.

    Two spellings of one address are one member.
    """
    if resource is Listener:
        transport = ListenerProtocol(values["protocol"]).transport
        return f"{values['load_balancer_id']}:{transport}:{values['protocol_port']}"
    if resource is Member:
        return f"{values['pool_id']}:{kinds.plain_address(values['address'])}:{values['protocol_port']}"
    if resource is HealthMonitor:
        return str(values["pool_id"])
    return None
