"""Which versions of tenants' certificates the amphorae of a load balancer have."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB commits each step by itself: what an upgrade that was cut off has made is there already.
    if not _present():
        column = sa.Column("secret_versions", sa.String(64), nullable=False, server_default="")
        op.add_column("load_balancers", column)


def downgrade() -> None:
    if _present():
        op.drop_column("load_balancers", "secret_versions")


def _present() -> bool:
    columns = sa.inspect(op.get_bind()).get_columns("load_balancers")
    return "secret_versions" in {column["name"] for column in columns}
