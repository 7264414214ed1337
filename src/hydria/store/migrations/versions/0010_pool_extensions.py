"""Drain timeout and slow start of pools

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("drain_timeout", "slow_start")


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for column in COLUMNS:
        if column not in present():
            op.add_column("pools", sa.Column(column, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for column in COLUMNS:
        if column in present():
            op.drop_column("pools", column)


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("pools")}
