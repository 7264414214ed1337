"""Flavors, availability zones and their profiles

Revision ID: 0004
Revises: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
CHOICES = ("flavor_id", "availability_zone")


def upgrade() -> None:
    for kind, data in (("flavor", "flavor_data"), ("availability_zone", "availability_zone_data")):
        profiles(f"{kind}_profiles", data)
    offers(
        "flavors",
        "flavor_profile",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flavors"),
        sa.UniqueConstraint("name", name="uq_flavors_name"),
    )
    offers(
        "availability_zones",
        "availability_zone_profile",
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_availability_zones"),
    )
    for column in CHOICES:
        op.create_index(f"ix_load_balancers_{column}", "load_balancers", [column], if_not_exists=True)


def downgrade() -> None:
    for column in CHOICES:
        op.drop_index(f"ix_load_balancers_{column}", "load_balancers", if_exists=True)
    for table in ("flavors", "availability_zones", "flavor_profiles", "availability_zone_profiles"):
        op.drop_table(table, if_exists=True)


def profiles(table: str, data: str) -> None:
    create_table(
        table,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("provider_name", sa.String(255), nullable=False),
        sa.Column(data, sa.String(4096), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        indexed="name",
    )


def offers(table: str, profile: str, *parts: sa.schema.SchemaItem) -> None:
    reference = f"{profile}_id"
    create_table(
        table,
        *parts,
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column(reference, sa.String(36), nullable=False),
        sa.ForeignKeyConstraint([reference], [f"{profile}s.id"], name=f"fk_{table}_{reference}"),
        indexed=reference,
    )


def create_table(name: str, *parts: sa.schema.SchemaItem, indexed: str) -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    op.create_table(name, *parts, if_not_exists=True, **OPTIONS)
    op.create_index(f"ix_{name}_{indexed}", name, [indexed], if_not_exists=True)
