"""What the operator decides about the data plane."""

from __future__ import annotations

from dataclasses import dataclass

from hydria.wire.logs import LOG_FORMAT, Syslog


@dataclass(frozen=True, slots=True)
class Tuning:
    """Options of ``[haproxy_amphora]``, and of others where it says so.

    default_connection_limit: connections of a listener without a limit of its own.
    stick_size: entries in the table of a pool with session persistence, as HAProxy writes sizes (``10k``).
    hard_stop_after: seconds that a replaced HAProxy process may live on.
    threads: of HAProxy.
    ipv6_client_prefix: bits of an IPv6 address that tell clients apart.
    tenant_logs, admin_logs: of ``[amphora_agent]``, where flow logs and the agents' own go; None: nowhere.
    log_format: of flow logs, in HAProxy's words, with ``{{ project_id }}`` and ``{{ lb_id }}``.
    """

    default_connection_limit: int = 50_000
    stick_size: str = "10k"
    hard_stop_after: int = 60
    threads: int = 1
    ipv6_client_prefix: int = 64
    tenant_logs: Syslog | None = None
    admin_logs: Syslog | None = None
    log_format: str = LOG_FORMAT

    @property
    def client_mask(self) -> str:
        """The converter from an address to the client whose it is, in HAProxy's words."""
        return f"ipmask(32,{self.ipv6_client_prefix})"
