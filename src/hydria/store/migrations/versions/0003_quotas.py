"""Quotas of projects, and what is locked to compare them with what there is

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
KINDS = ("loadbalancer", "listener", "member", "pool", "healthmonitor", "l7policy", "l7rule")


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(36), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in KINDS),
        sa.PrimaryKeyConstraint("project_id", name="pk_quotas"),
        if_not_exists=True,
        **OPTIONS,
    )
    op.create_table(
        "quota_locks",
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_quota_locks"),
        if_not_exists=True,
        **OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("quota_locks", if_exists=True)
    op.drop_table("quotas", if_exists=True)
