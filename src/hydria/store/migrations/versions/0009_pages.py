"""Pages of lists are found by an index, however much there is

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("load_balancers", "listeners", "pools", "health_monitors", "l7policies")
ORDER = ["created_at", "id"]


def upgrade() -> None:
    # MariaDB commits each by itself: an upgrade that was cut off begins again.
    for table in TABLES:
        op.create_index(f"ix_{table}_created_at", table, ORDER, if_not_exists=True)
        for column in ("project_id", "name"):
            op.drop_index(f"ix_{table}_{column}", table, if_exists=True)
            op.create_index(f"ix_{table}_{column}", table, [column, *ORDER], if_not_exists=True)


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"ix_{table}_created_at", table, if_exists=True)
        for column in ("project_id", "name"):
            op.drop_index(f"ix_{table}_{column}", table, if_exists=True)
            op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)
