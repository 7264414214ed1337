"""Listeners that compress

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "compression" not in present():
        column: sa.Column[bool] = sa.Column("compression", sa.Boolean(create_constraint=False), nullable=True)
        op.add_column("listeners", column)


def downgrade() -> None:
    if "compression" in present():
        op.drop_column("listeners", "compression")


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("listeners")}
