"""The ports of amphorae, the secrets that they have, and the next try of deletions

Revision ID: 0022
Revises: 0021
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    if "collect_at" not in present("amphorae"):
        when: sa.Column[object] = sa.Column("collect_at", MOMENT, nullable=True)
        op.add_column("amphorae", when)
    if "collect_attempts" not in present("amphorae"):
        attempts: sa.Column[int] = sa.Column(
            "collect_attempts", sa.BigInteger(), nullable=False, server_default="0"
        )
        op.add_column("amphorae", attempts)
    op.create_index("ix_amphorae_collect_at", "amphorae", ["collect_at"], if_not_exists=True)
    if "secret_references" not in present("load_balancers"):
        references: sa.Column[str] = sa.Column(
            "secret_references", sa.String(64), nullable=False, server_default=""
        )
        op.add_column("load_balancers", references)
    if "secret_generation" not in present("load_balancers"):
        generation: sa.Column[int] = sa.Column(
            "secret_generation", sa.BigInteger(), nullable=False, server_default="0"
        )
        op.add_column("load_balancers", generation)
    if not sa.inspect(op.get_bind()).has_table("amphora_ports"):
        op.create_table(
            "amphora_ports",
            sa.Column("id", sa.String(36), primary_key=True),
            sa.Column(
                "amphora_id", sa.String(36), sa.ForeignKey("amphorae.id", ondelete="CASCADE"), nullable=False
            ),
            sa.Column("purpose", sa.String(8), nullable=False),
            sa.Column("network_id", sa.String(36), nullable=False),
            sa.Column("mac", sa.String(32), nullable=False),
            sa.Column("mtu", sa.BigInteger(), nullable=False),
            sa.Column("addresses", JSON_TEXT, nullable=False),
            sa.Column("security", JSON_TEXT, nullable=True),
            **OPTIONS,
        )
    op.create_index("ix_amphora_ports_amphora_id", "amphora_ports", ["amphora_id"], if_not_exists=True)


def downgrade() -> None:
    if sa.inspect(op.get_bind()).has_table("amphora_ports"):
        op.drop_table("amphora_ports")
    op.drop_index("ix_amphorae_collect_at", table_name="amphorae", if_exists=True)
    for name in ("secret_generation", "secret_references"):
        if name in present("load_balancers"):
            op.drop_column("load_balancers", name)
    for name in ("collect_attempts", "collect_at"):
        if name in present("amphorae"):
            op.drop_column("amphorae", name)


def present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
