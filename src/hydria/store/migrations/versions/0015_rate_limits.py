"""Rate limit policies and their rules

Revision ID: 0015
Revises: 0014
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
ORDER = ("created_at", "id")


def upgrade() -> None:
    create_table(
        "rate_limit_policies",
        *common(),
        sa.Column("listener_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("action", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rate_limit_policies"),
        references("rate_limit_policies", "listener_id", "listeners.id"),
        references("rate_limit_policies", "load_balancer_id", "load_balancers.id"),
        indexed=(
            ("listener_id",), ("load_balancer_id",), ORDER, ("project_id", *ORDER), ("name", *ORDER)
        ),
    )  # fmt: skip
    create_table(
        "rate_limit_rules",
        *common(),
        sa.Column("rate_limit_policy_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("metric", sa.String(36), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("urls", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rate_limit_rules"),
        references("rate_limit_rules", "rate_limit_policy_id", "rate_limit_policies.id"),
        references("rate_limit_rules", "load_balancer_id", "load_balancers.id"),
        indexed=(("rate_limit_policy_id",), ("load_balancer_id",), ("project_id",), ("name",)),
    )


def downgrade() -> None:
    for name in ("rate_limit_rules", "rate_limit_policies"):
        op.drop_table(name, if_exists=True)


def common() -> tuple[sa.Column[Any], ...]:
    return (
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
    )


def create_table(name: str, *parts: sa.schema.SchemaItem, indexed: tuple[tuple[str, ...], ...] = ()) -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    op.create_table(name, *parts, if_not_exists=True, **OPTIONS)
    for columns in indexed:
        op.create_index(f"ix_{name}_{columns[0]}", name, list(columns), if_not_exists=True)


def references(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
