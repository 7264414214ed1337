"""Why an object is in ERROR and since when; what changed a load balancer last

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for table, column in columns():
        if column.name not in present(table):
            op.add_column(table, column)


def downgrade() -> None:
    for table, column in columns():
        if column.name in present(table):
            op.drop_column(table, column.name)


def columns() -> Iterator[tuple[str, sa.Column[Any]]]:
    yield "load_balancers", sa.Column("own_generation", sa.BigInteger(), nullable=False, server_default="0")
    yield "load_balancers", sa.Column("request_id", sa.String(64), nullable=False, server_default="")
    for table in ("load_balancers", "listeners", "pools", "members", "health_monitors"):
        if table != "load_balancers":  # which had a reason before, but no moment
            yield table, sa.Column("fault", sa.String(2048), nullable=True)
        yield table, sa.Column("fault_since", MOMENT, nullable=True)


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
