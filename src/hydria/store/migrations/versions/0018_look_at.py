"""When a worker should look at a load balancer again for which something is under way

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "look_at" not in present("load_balancers"):
        column: sa.Column[object] = sa.Column("look_at", MOMENT, nullable=True)
        op.add_column("load_balancers", column)
    op.create_index("ix_load_balancers_look_at", "load_balancers", ["look_at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("ix_load_balancers_look_at", table_name="load_balancers", if_exists=True)
    if "look_at" in present("load_balancers"):
        op.drop_column("load_balancers", "look_at")


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
