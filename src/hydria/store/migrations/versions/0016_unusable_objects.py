"""Unusable objects stop no others: what they were before, and when they are to be tried again

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
TABLES = ("listeners", "pools", "health_monitors", "l7policies", "l7rules")


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for table in TABLES:
        if "previous" not in present(table):
            column: sa.Column[str] = sa.Column("previous", JSON_TEXT, nullable=True)
            op.add_column(table, column)
    op.create_index("ix_load_balancers_retry_at", "load_balancers", ["retry_at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("ix_load_balancers_retry_at", table_name="load_balancers", if_exists=True)
    for table in TABLES:
        if "previous" in present(table):
            op.drop_column(table, "previous")


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
