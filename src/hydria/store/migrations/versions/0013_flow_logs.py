"""Flow logs, switched per load balancer

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "flow_logs" not in present():
        column: sa.Column[bool] = sa.Column("flow_logs", sa.Boolean(create_constraint=False), nullable=True)
        op.add_column("load_balancers", column)


def downgrade() -> None:
    if "flow_logs" in present():
        op.drop_column("load_balancers", "flow_logs")


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("load_balancers")}
