"""Lists, orders and looks of housekeeping are found by an index; past amphorae have one row of counters

Revision ID: 0021
Revises: 0020
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
PAGE = ["created_at", "id"]
# Indexes that are there already, of the column alone, and become indexes of pages.
FORMER = (
    ("load_balancers", "flavor_id"),
    ("load_balancers", "availability_zone"),
    ("load_balancers", "provisioning_status"),
    ("amphorae", "status"),
)
PAGED = (
    "vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "flavor_id", "availability_zone",
    "provisioning_status", "operating_status", "updated_at",
)  # fmt: skip
COUNTERS = ("bytes_in", "bytes_out", "total_connections", "request_errors")
PAST = "past"


def indexes() -> Iterator[tuple[str, str, list[str]]]:
    """Name, table and columns."""
    for column in PAGED:
        yield f"ix_load_balancers_{column}", "load_balancers", [column, *PAGE]
    yield "ix_load_balancers_purge", "load_balancers", ["provisioning_status", "updated_at"]
    yield "ix_load_balancers_secret_versions", "load_balancers", ["secret_versions", "id"]
    yield "ix_listeners_protocol_port", "listeners", ["protocol_port", *PAGE]
    yield "ix_amphorae_created_at", "amphorae", PAGE
    yield "ix_amphorae_lb_network_ip", "amphorae", ["lb_network_ip"]
    yield "ix_amphorae_compute_id", "amphorae", ["compute_id"]
    yield "ix_amphorae_status", "amphorae", ["status", "failover_requested", "cert_expiration"]
    yield "ix_amphorae_purge", "amphorae", ["status", "updated_at"]


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for table, column in FORMER:
        if width(f"ix_{table}_{column}", table) == 1:
            op.drop_index(f"ix_{table}_{column}", table_name=table)
    for name, table, columns in indexes():
        op.create_index(name, table, columns, if_not_exists=True)
    if "bounds" not in columns_of("quota_locks"):
        op.add_column("quota_locks", sa.Column("bounds", LONG_TEXT, nullable=True))
    fold()


def downgrade() -> None:
    if "bounds" in columns_of("quota_locks"):
        op.drop_column("quota_locks", "bounds")
    for name, table, _ in indexes():
        op.drop_index(name, table_name=table, if_exists=True)
    for table, column in FORMER:
        op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)


def columns_of(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def width(name: str, table: str) -> int:
    """Of how many columns an index is; 0 when it is not there."""
    found = [each for each in sa.inspect(op.get_bind()).get_indexes(table) if each["name"] == name]
    return len(found[0]["column_names"]) if found else 0


def fold() -> None:
    """Make one row of each listener of those whose amphorae are gone."""
    connection = op.get_bind()
    names = (*COUNTERS, *(f"base_{name}" for name in COUNTERS))
    columns: list[Any] = [
        sa.column(name) for name in ("listener_id", "amphora_id", "epoch", "active_connections")
    ]
    table = sa.table("listener_statistics", *columns, *(sa.column(name) for name in names))
    amphorae = sa.table("amphorae", sa.column("id"))
    gone = table.c.amphora_id.not_in(sa.select(amphorae.c.id))
    sums = [sa.func.sum(table.c[name] + table.c[f"base_{name}"]).label(name) for name in COUNTERS]
    query = sa.select(table.c.listener_id, *sums).where(gone).group_by(table.c.listener_id)
    found = connection.execute(query).mappings().all()
    if not found:
        return
    zeros = {"amphora_id": PAST, "epoch": 0, "active_connections": 0} | dict.fromkeys(COUNTERS, 0)
    connection.execute(sa.delete(table).where(gone))
    connection.execute(
        table.insert(),
        [
            {"listener_id": row["listener_id"], **zeros}
            | {f"base_{name}": int(row[name]) for name in COUNTERS}
            for row in found
        ],
    )
