"""Load balancers that were applied but for something are found by when they are to be tried again

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_load_balancers_retry_at", "load_balancers", ["retry_at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("ix_load_balancers_retry_at", table_name="load_balancers", if_exists=True)
