"""Pools that keep clients' addresses

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "preserve_source" not in present():
        kind = sa.Boolean(create_constraint=False)
        column: sa.Column[bool] = sa.Column("preserve_source", kind, nullable=True)
        op.add_column("pools", column)


def downgrade() -> None:
    if "preserve_source" in present():
        op.drop_column("pools", "preserve_source")


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("pools")}
