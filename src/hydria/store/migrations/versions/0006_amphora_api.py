"""What the amphora API shows and asks for

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for column in columns():
        if column.name not in present():
            op.add_column("amphorae", column)


def downgrade() -> None:
    for column in columns():
        if column.name in present():
            op.drop_column("amphorae", column.name)


def columns() -> Iterator[sa.Column[Any]]:
    yield sa.Column("cert_busy", sa.Boolean(), nullable=False, server_default=sa.false())
    yield sa.Column("vrrp_interface", sa.String(16), nullable=True)
    yield sa.Column("vrrp_id", sa.BigInteger(), nullable=True)
    yield sa.Column("vrrp_priority", sa.BigInteger(), nullable=True)
    yield sa.Column("failover_requested", sa.Boolean(), nullable=False, server_default=sa.false())


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("amphorae")}
