"""L7 policies and their rules

Revision ID: 0008
Revises: 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    create_table(
        "l7policies",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.String(2048), nullable=True),
        sa.Column("fault_since", MOMENT, nullable=True),
        sa.Column("listener_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("action", sa.String(36), nullable=False),
        sa.Column("redirect_pool_id", sa.String(36), nullable=True),
        sa.Column("redirect_url", sa.String(255), nullable=True),
        sa.Column("redirect_prefix", sa.String(255), nullable=True),
        sa.Column("redirect_http_code", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_l7policies"),
        references("l7policies", "listener_id", "listeners.id"),
        references("l7policies", "load_balancer_id", "load_balancers.id"),
        indexed=("project_id", "listener_id", "load_balancer_id", "name", "redirect_pool_id"),
    )
    create_table(
        "l7rules",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.String(2048), nullable=True),
        sa.Column("fault_since", MOMENT, nullable=True),
        sa.Column("l7policy_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(36), nullable=False),
        sa.Column("compare_type", sa.String(36), nullable=False),
        sa.Column("key_name", sa.String(255), nullable=True),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("invert", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_l7rules"),
        references("l7rules", "l7policy_id", "l7policies.id"),
        references("l7rules", "load_balancer_id", "load_balancers.id"),
        indexed=("project_id", "l7policy_id", "load_balancer_id"),
    )


def downgrade() -> None:
    for name in ("l7rules", "l7policies"):
        op.drop_table(name, if_exists=True)


def create_table(name: str, *parts: sa.schema.SchemaItem, indexed: tuple[str, ...] = ()) -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    op.create_table(name, *parts, if_not_exists=True, **OPTIONS)
    for column in indexed:
        op.create_index(f"ix_{name}_{column}", name, [column], if_not_exists=True)


def references(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
