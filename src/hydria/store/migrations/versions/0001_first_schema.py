"""The first schema

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
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
    create_table(
        "load_balancers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("vip_subnet_id", sa.String(36), nullable=True),
        sa.Column("vip_network_id", sa.String(36), nullable=True),
        sa.Column("vip_port_id", sa.String(36), nullable=True),
        sa.Column("vip_address", sa.String(64), nullable=True),
        sa.Column("vip_qos_policy_id", sa.String(36), nullable=True),
        sa.Column("vip_sg_ids", JSON_TEXT, nullable=False),
        sa.Column("vip_vnic_type", sa.String(36), nullable=False),
        sa.Column("additional_vips", JSON_TEXT, nullable=False),
        sa.Column("vip_port_owned", sa.Boolean(), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("flavor_id", sa.String(36), nullable=True),
        sa.Column("availability_zone", sa.String(255), nullable=True),
        sa.Column("topology", sa.String(36), nullable=False),
        sa.Column("applied_generation", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.String(2048), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("retry_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_load_balancers"),
        indexed=("project_id", "provisioning_status", "name"),
    )
    create_table(
        "listeners",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("protocol", sa.String(36), nullable=False),
        sa.Column("protocol_port", sa.BigInteger(), nullable=False),
        sa.Column("connection_limit", sa.BigInteger(), nullable=False),
        sa.Column("default_pool_id", sa.String(36), nullable=True),
        sa.Column("insert_headers", JSON_TEXT, nullable=False),
        sa.Column("default_tls_container_ref", sa.String(255), nullable=True),
        sa.Column("sni_container_refs", JSON_TEXT, nullable=False),
        sa.Column("client_ca_tls_container_ref", sa.String(255), nullable=True),
        sa.Column("client_authentication", sa.String(36), nullable=False),
        sa.Column("client_crl_container_ref", sa.String(255), nullable=True),
        sa.Column("timeout_client_data", sa.BigInteger(), nullable=False),
        sa.Column("timeout_member_connect", sa.BigInteger(), nullable=False),
        sa.Column("timeout_member_data", sa.BigInteger(), nullable=False),
        sa.Column("timeout_tcp_inspect", sa.BigInteger(), nullable=False),
        sa.Column("allowed_cidrs", JSON_TEXT, nullable=True),
        sa.Column("tls_ciphers", sa.String(2048), nullable=True),
        sa.Column("tls_versions", JSON_TEXT, nullable=True),
        sa.Column("alpn_protocols", JSON_TEXT, nullable=True),
        sa.Column("hsts_max_age", sa.BigInteger(), nullable=True),
        sa.Column("hsts_include_subdomains", sa.Boolean(), nullable=False),
        sa.Column("hsts_preload", sa.Boolean(), nullable=False),
        sa.Column("live_key", sa.String(160), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_listeners"),
        references("listeners", "load_balancer_id", "load_balancers.id"),
        sa.UniqueConstraint("live_key", name="uq_listeners_live_key"),
        indexed=("project_id", "load_balancer_id", "name", "default_pool_id"),
    )
    create_table(
        "pools",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("protocol", sa.String(36), nullable=False),
        sa.Column("lb_algorithm", sa.String(36), nullable=False),
        sa.Column("session_persistence", JSON_TEXT, nullable=True),
        sa.Column("tls_enabled", sa.Boolean(), nullable=False),
        sa.Column("tls_container_ref", sa.String(255), nullable=True),
        sa.Column("ca_tls_container_ref", sa.String(255), nullable=True),
        sa.Column("crl_container_ref", sa.String(255), nullable=True),
        sa.Column("tls_ciphers", sa.String(2048), nullable=True),
        sa.Column("tls_versions", JSON_TEXT, nullable=True),
        sa.Column("alpn_protocols", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pools"),
        references("pools", "load_balancer_id", "load_balancers.id"),
        indexed=("project_id", "load_balancer_id", "name"),
    )
    create_table(
        "members",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("protocol_port", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("backup", sa.Boolean(), nullable=False),
        sa.Column("subnet_id", sa.String(36), nullable=True),
        sa.Column("monitor_address", sa.String(64), nullable=True),
        sa.Column("monitor_port", sa.BigInteger(), nullable=True),
        sa.Column("vnic_type", sa.String(36), nullable=False),
        sa.Column("live_key", sa.String(160), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
        references("members", "load_balancer_id", "load_balancers.id"),
        references("members", "pool_id", "pools.id"),
        sa.UniqueConstraint("live_key", name="uq_members_live_key"),
        indexed=("project_id", "pool_id", "load_balancer_id", "name"),
    )
    create_table(
        "health_monitors",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(36), nullable=False),
        sa.Column("operating_status", sa.String(36), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(36), nullable=False),
        sa.Column("delay", sa.BigInteger(), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False),
        sa.Column("max_retries", sa.BigInteger(), nullable=False),
        sa.Column("max_retries_down", sa.BigInteger(), nullable=False),
        sa.Column("http_method", sa.String(36), nullable=True),
        sa.Column("url_path", sa.String(255), nullable=True),
        sa.Column("expected_codes", sa.String(64), nullable=True),
        sa.Column("http_version", sa.Double(), nullable=True),
        sa.Column("domain_name", sa.String(255), nullable=True),
        sa.Column("live_key", sa.String(160), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_health_monitors"),
        references("health_monitors", "load_balancer_id", "load_balancers.id"),
        references("health_monitors", "pool_id", "pools.id"),
        sa.UniqueConstraint("live_key", name="uq_health_monitors_live_key"),
        indexed=("project_id", "pool_id", "load_balancer_id", "name"),
    )
    create_table(
        "tags",
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("tag", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "tag", name="pk_tags"),
        indexed=("tag",),
    )
    create_table(
        "amphorae",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("role", sa.String(36), nullable=False),
        sa.Column("compute_id", sa.String(255), nullable=True),
        sa.Column("lb_network_ip", sa.String(64), nullable=True),
        sa.Column("vrrp_ip", sa.String(64), nullable=True),
        sa.Column("vrrp_port_id", sa.String(36), nullable=True),
        sa.Column("ha_ip", sa.String(64), nullable=True),
        sa.Column("ha_port_id", sa.String(36), nullable=True),
        sa.Column("cert_expiration", MOMENT, nullable=True),
        sa.Column("cached_zone", sa.String(255), nullable=True),
        sa.Column("image_id", sa.String(255), nullable=True),
        sa.Column("compute_flavor", sa.String(255), nullable=True),
        sa.Column("applied_generation", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_amphorae"),
        references("amphorae", "load_balancer_id", "load_balancers.id"),
        indexed=("load_balancer_id", "status"),
    )
    create_table(
        "amphora_health",
        sa.Column("amphora_id", sa.String(36), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("amphora_id", name="pk_amphora_health"),
        references("amphora_health", "amphora_id", "amphorae.id"),
    )
    create_table(
        "leases",
        sa.Column("load_balancer_id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(255), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("load_balancer_id", name="pk_leases"),
        references("leases", "load_balancer_id", "load_balancers.id"),
    )
    create_table(
        "listener_statistics",
        sa.Column("listener_id", sa.String(36), nullable=False),
        sa.Column("amphora_id", sa.String(36), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("active_connections", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("total_connections", sa.BigInteger(), nullable=False),
        sa.Column("request_errors", sa.BigInteger(), nullable=False),
        sa.Column("base_bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("base_bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("base_total_connections", sa.BigInteger(), nullable=False),
        sa.Column("base_request_errors", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("listener_id", "amphora_id", name="pk_listener_statistics"),
        references("listener_statistics", "listener_id", "listeners.id"),
        indexed=("amphora_id",),
    )


def downgrade() -> None:
    for name in (
        "listener_statistics",
        "leases",
        "amphora_health",
        "amphorae",
        "tags",
        "health_monitors",
        "members",
        "pools",
        "listeners",
        "load_balancers",
    ):
        op.drop_table(name, if_exists=True)


def create_table(name: str, *parts: sa.schema.SchemaItem, indexed: tuple[str, ...] = ()) -> None:
    # MariaDB commits each by itself: what an upgrade that was cut off has made is there already.
    op.create_table(name, *parts, if_not_exists=True, **OPTIONS)
    for column in indexed:
        op.create_index(f"ix_{name}_{column}", name, [column], if_not_exists=True)


def references(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
