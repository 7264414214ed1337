"""Whether an object has been ACTIVE before, apart from when it was last updated

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = (
    "load_balancers", "listeners", "pools", "members", "health_monitors", "l7policies", "l7rules",
    "rate_limit_policies", "rate_limit_rules",
)  # fmt: skip


def upgrade() -> None:
    for name in TABLES:
        # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
        if "been_active" not in present(name):
            column: sa.Column[bool] = sa.Column(
                "been_active", sa.Boolean(), nullable=False, server_default=sa.false()
            )
            op.add_column(name, column)
        # One that failed without having been updated failed when it was made.
        table = sa.table(
            name, sa.column("been_active"), sa.column("provisioning_status"), sa.column("updated_at")
        )
        status = table.c.provisioning_status
        new = sa.or_(status == "PENDING_CREATE", sa.and_(status == "ERROR", table.c.updated_at.is_(None)))
        op.execute(sa.update(table).where(sa.not_(new)).values(been_active=sa.true()))


def downgrade() -> None:
    for name in TABLES:
        if "been_active" in present(name):
            op.drop_column(name, "been_active")


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
