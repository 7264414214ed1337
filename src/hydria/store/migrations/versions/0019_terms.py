"""A lease has a term that grows, in the place of a random token, and its owner can be looked up

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "term" not in present("leases"):
        op.add_column("leases", number("term"))
    if "token" in present("leases"):
        op.drop_column("leases", "token")
    op.create_index("ix_leases_owner", "leases", ["owner"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("ix_leases_owner", table_name="leases", if_exists=True)
    if "token" not in present("leases"):
        op.add_column("leases", number("token"))
    if "term" in present("leases"):
        op.drop_column("leases", "term")


def number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
