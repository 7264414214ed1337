"""Silent amphorae are found by an index; health managers know each other, and share one failover budget

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_OPTIONS = {
    f"{name}_{key}": value
    for name in ("mysql", "mariadb")
    for key, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}.items()
}


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    op.create_index("ix_amphora_health_seen", "amphora_health", ["seen"], if_not_exists=True)
    op.create_table(
        "health_managers",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_health_managers"),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "failover_budget",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("id", name="pk_failover_budget"),
        if_not_exists=True,
        **_OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("failover_budget", if_exists=True)
    op.drop_table("health_managers", if_exists=True)
    op.drop_index("ix_amphora_health_seen", table_name="amphora_health", if_exists=True)
