"""Fixed responses, changes of headers and other paths by L7 policies

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
COLUMNS = ("fixed_response", "header_changes", "url_rewrite")


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    for name in COLUMNS:
        if name not in present():
            op.add_column("l7policies", sa.Column(name, JSON_TEXT, nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        if name in present():
            op.drop_column("l7policies", name)


def present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("l7policies")}
