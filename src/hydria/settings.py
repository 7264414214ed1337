"""The options of hydria.conf: one frozen dataclass per group, so that each reader gets just its own.

Groups and names are upstream's where upstream has the option (contract section 6), so an operator's
octavia.conf mostly reads as it is. Nothing is read at import time: a program calls :func:`load` once and
passes on what each part needs. The fields below are the declarations: oslo.config options are made of them.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from oslo_config import cfg

from hydria import processes
from hydria.model.errors import Invalid
from hydria.model.rules.deployment import OWASP_B, RESERVED
from hydria.wire.logs import LOG_FORMAT, endpoint

_IPV6_BITS = 128
_LAST_FACILITY = 7  # of syslog's local0 to local7


def option(
    default: Any,
    text: str,
    *,
    secret: bool = False,
    choices: Sequence[str] = (),
    port: bool = False,
    share: bool = False,
) -> Any:
    """Declare an option: its default and what it is for. ``share``: a number from 0 to 1."""
    metadata = {
        "help": text, "secret": secret, "choices": choices, "port": port, "share": share, "default": default,
    }  # fmt: skip
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class DefaultSettings:
    """``[DEFAULT]``"""

    host: str = option("", "Name of this controller, unique among them; the host's name when empty.")
    state_dir: str = option("/var/lib/hydria", "Where the embedded drivers keep what they make.")
    transport_url: str = option(
        "", "oslo.messaging URL (rabbit://…); empty: wake-ups stay within the process.", secret=True
    )
    debug: bool = option(False, "Log at level DEBUG.")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """``[database]``"""

    connection: str = option("", "SQLAlchemy URL; empty: an SQLite database below state_dir.", secret=True)
    max_pool_size: int = option(10, "Connections that a program keeps open.")
    max_overflow: int = option(20, "Further connections at times of high load.")
    pool_timeout: int = option(10, "Seconds to wait for a free connection.")
    connection_recycle_time: int = option(3600, "Seconds after which a connection is replaced.")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """``[api_settings]``"""

    bind_host: str = option("127.0.0.1", "Address to listen on.")
    bind_port: int = option(9876, "Port to listen on.", port=True)
    auth_strategy: str = option(
        "noauth",
        "How callers are identified; noauth serves loopback addresses alone.",
        choices=("noauth", "keystone", "http_basic"),
    )
    tls_certificate_file: str = option("", "Certificate of the API with its chain, PEM; empty: no TLS.")
    tls_key_file: str = option("", "Its private key, PEM; empty: in the file of the certificate.")
    http_basic_auth_user_file: str = option(
        "/etc/hydria/htpasswd", "Users of auth_strategy http_basic: htpasswd, bcrypt alone."
    )
    http_basic_admin_users: tuple[str, ...] = option((), "Those of them who have the role admin.")
    http_basic_reader_users: tuple[str, ...] = option((), "Those of them who may look and not change.")
    http_basic_user_projects: dict[str, str] = option(
        {}, "Projects of users, user:project, …; others have one of their own, named like them."
    )
    threads: int = option(10, "Requests that are served at a time.")
    connections_per_address: int = option(
        100,
        "Connections that an address (of IPv6: a /64) may have, and may open in a second; 0: any number. Not"
        " with noauth, nor behind a proxy ([oslo_middleware] enable_proxy_headers_parsing).",
    )
    api_base_uri: str = option("", "Base of the links in responses; empty: as the request came in.")
    allow_pagination: bool = option(True, "Page lists.")
    allow_sorting: bool = option(True, "Sort lists as the request asks.")
    allow_filtering: bool = option(True, "Filter lists as the request asks.")
    allow_field_selection: bool = option(True, "Show only the fields that the request asks for.")
    pagination_max_limit: str = option("1000", "Longest page; 'infinite' or a negative number: no limit.")
    allow_ping_health_monitors: bool = option(True, "Accept health monitors of type PING.")
    allow_tls_terminated_listeners: bool = option(True, "Accept listeners that terminate TLS.")
    allow_prometheus_listeners: bool = option(True, "Accept listeners of protocol PROMETHEUS.")
    enabled_provider_drivers: dict[str, str] = option(
        {"amphora": "The Hydria amphora provider.", "octavia": "Deprecated name of the amphora provider."},
        "Providers that requests may name: name:description, …",
    )
    default_provider_driver: str = option("amphora", "Provider of requests that name none.")
    udp_connect_min_interval_health_monitor: int = option(3, "Least delay of UDP-CONNECT monitors, seconds.")
    default_listener_ciphers: str = option(OWASP_B, "Ciphers of listeners that terminate TLS and name none.")
    default_pool_ciphers: str = option(OWASP_B, "Ciphers of pools that speak TLS and name none.")
    default_listener_tls_versions: tuple[str, ...] = option(
        ("TLSv1.2", "TLSv1.3"), "TLS versions of listeners that terminate TLS and name none."
    )
    default_pool_tls_versions: tuple[str, ...] = option(
        ("TLSv1.2", "TLSv1.3"), "TLS versions of pools that speak TLS and name none."
    )
    default_listener_alpn_protocols: tuple[str, ...] = option(
        ("h2", "http/1.1", "http/1.0"), "ALPN protocols of listeners that terminate TLS and name none."
    )
    default_pool_alpn_protocols: tuple[str, ...] = option(
        ("h2", "http/1.1", "http/1.0"), "ALPN protocols of pools that speak TLS and name none."
    )
    tls_cipher_prohibit_list: str = option("", "Ciphers that nobody may use, separated by colons.")
    minimum_tls_version: str = option("", "Oldest TLS version that anybody may use; empty: any.")
    healthcheck_enabled: bool = option(False, "Serve /healthcheck.")
    healthcheck_refresh_interval: int = option(5, "Seconds that a health check's result is kept.")


@dataclass(frozen=True, slots=True)
class OsloMiddlewareSettings:
    """``[oslo_middleware]``"""

    max_request_body_size: int = option(114688, "Longest request body, bytes.")
    enable_proxy_headers_parsing: bool = option(
        False, "A proxy is in front: believe its Forwarded and X-Forwarded headers."
    )


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """``[cors]``; oslo.middleware has more options in it"""

    allowed_origin: tuple[str, ...] = option((), "Origins whose pages in browsers may ask; empty: none.")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """``[audit]``"""

    enabled: bool = option(False, "Send an audit event for each request (with auth_strategy keystone).")
    audit_map_file: str = option(
        "/etc/hydria/hydria_api_audit_map.conf", "Names of what requests are about, for audit events."
    )
    ignore_req_list: str = option("", "Methods without audit events, separated by commas.")


@dataclass(frozen=True, slots=True)
class HealthManagerSettings:
    """``[health_manager]``"""

    bind_ip: str = option("", "Address that heartbeats are sent to; empty: the host's own on the LB network.")
    bind_port: int = option(5555, "UDP port for heartbeats.", port=True)
    heartbeat_key: str = option(
        "", "Secret from which each amphora's key is derived; empty: one kept below state_dir.", secret=True
    )
    controller_ip_port_list: tuple[str, ...] = option(
        (), "host:port of every health manager; empty: this host's own."
    )
    heartbeat_interval: float = option(10.0, "Seconds between the heartbeats of an amphora.")
    heartbeat_timeout: float = option(60.0, "Seconds of silence after which an amphora is suspected dead.")
    health_check_interval: float = option(3.0, "Seconds between looks for silent amphorae.")
    failover_threads: int = option(10, "Amphorae that may be under replacement at a time, over all.")
    failover_threshold: int = option(
        0, "Silent amphorae from which on none is replaced, since the fault is elsewhere; 0: no such limit."
    )
    failover_breaker_share: float = option(
        0.25,
        "Share of all amphorae above which none is replaced while so many, and more than three, are silent;"
        " 0: no such limit.",
        share=True,
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``[controller_worker]``"""

    workers: int = option(4, "Load balancers that one worker program converges at a time.")
    amphora_driver: str = option("amphora_haproxy_rest_driver", "How to talk to amphora agents.")
    compute_driver: str = option("netns", "What amphorae run on.")
    network_driver: str = option("bridge", "Where VIPs and ports come from.")
    loadbalancer_topology: str = option(
        "SINGLE",
        "Amphorae per load balancer. ACTIVE_STANDBY: with amphora_noop_driver alone, so far.",
        choices=("SINGLE", "ACTIVE_STANDBY"),
    )
    event_notifications: bool = option(
        True, "Send notifications, if [oslo_messaging_notifications] driver names how."
    )
    lease_seconds: float = option(30.0, "How long a worker that fell silent keeps a load balancer.")
    poll_interval: float = option(5.0, "Seconds between looks for work that no message announced.")
    retry_initial: float = option(
        1.0, "Seconds before the first repetition of a failed pass; doubles each time."
    )
    retry_max: float = option(60.0, "Longest time between repetitions, seconds.")
    amp_active_timeout: float = option(300.0, "Seconds that an amphora may take to boot.")


@dataclass(frozen=True, slots=True)
class HaproxyAmphoraSettings:
    """``[haproxy_amphora]``"""

    bind_port: int = option(9443, "Port of the amphora agents.", port=True)
    rest_request_conn_timeout: float = option(10.0, "Seconds to wait for a connection to an agent.")
    rest_request_read_timeout: float = option(60.0, "Seconds to wait for an agent's answer.")
    timeout_client_data: int = option(50_000, "Default of listeners, milliseconds.")
    timeout_member_connect: int = option(5_000, "Default of listeners, milliseconds.")
    timeout_member_data: int = option(50_000, "Default of listeners, milliseconds.")
    timeout_tcp_inspect: int = option(0, "Default of listeners, milliseconds.")
    default_connection_limit: int = option(50_000, "Connections of a listener without a limit of its own.")
    haproxy_stick_size: str = option("10k", "Entries in the table of a pool with session persistence.")
    hard_stop_after: int = option(
        60,
        "Seconds that connections of a replaced HAProxy process, and of a removed member, may go on; then "
        "they are closed. Raise it where long ones, like WebSockets, have to survive changes.",
    )
    retired_processes: int = option(
        16,
        "Replaced HAProxy processes that may live at a time, of about 10 MB each; one more closes the "
        "connections of the oldest.",
    )
    haproxy_cmd: str = option("haproxy", "The HAProxy program in the amphora.")
    haproxy_threads: int = option(1, "Threads of HAProxy.")
    ipv6_client_prefix: int = option(
        64,
        "Bits of an IPv6 address that tell clients apart, for rate limits and SOURCE_IP persistence: who"
        " has one address of a network mostly has all of it. 128: each address is a client.",
    )
    connection_logging: bool = option(
        True, "Send flow logs, if [amphora_agent] tenant_log_targets says where."
    )
    user_log_format: str = option(
        LOG_FORMAT, "Record of flow logs, a log-format of HAProxy with {{ project_id }} and {{ lb_id }}."
    )

    def __post_init__(self) -> None:
        """Refuse what HAProxy would have to refuse."""
        if not 1 <= self.ipv6_client_prefix <= _IPV6_BITS:
            raise ValueError(
                f"[haproxy_amphora] ipv6_client_prefix is {self.ipv6_client_prefix}, not one of 1 to 128"
            )


@dataclass(frozen=True, slots=True)
class AmphoraAgentSettings:
    """``[amphora_agent]``: logs that leave amphorae, by syslog, over the LB network"""

    tenant_log_targets: tuple[str, ...] = option(
        (),
        "address:port of receivers of flow logs, [address]:port of IPv6; empty: none. Over TCP, those after"
        " the first stand in for it.",
    )
    admin_log_targets: tuple[str, ...] = option((), "The same for the agents' own logs.")
    user_log_facility: int = option(0, "Facility of flow logs, 0 to 7 for local0 to local7.")
    administrative_log_facility: int = option(1, "Facility of the agents' logs.")
    log_protocol: str = option("UDP", "How to send both.", choices=("UDP", "TCP"))
    log_retry_count: int = option(5, "Failed checks in a row after which a TCP receiver is given up.")
    log_retry_interval: int = option(2, "Seconds between checks of a TCP receiver.")
    log_queue_size: int = option(10_000, "Records that wait in an amphora for a receiver.")
    disable_local_log_storage: bool = option(
        False, "Agents do not write logs that they send. Flow logs never are on an amphora's disk."
    )

    def __post_init__(self) -> None:
        """Refuse what every amphora would have to refuse; ValueError says what it is."""
        for name in ("tenant_log_targets", "admin_log_targets"):
            for target in getattr(self, name):
                try:
                    endpoint(target)
                except ValueError as error:
                    raise ValueError(f"[amphora_agent] {name}: {error}") from None
        for name in ("user_log_facility", "administrative_log_facility"):
            if not 0 <= getattr(self, name) <= _LAST_FACILITY:
                raise ValueError(f"[amphora_agent] {name} is {getattr(self, name)}, not one of 0 to 7")
        for name in ("log_retry_count", "log_retry_interval", "log_queue_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"[amphora_agent] {name} is {getattr(self, name)}, less than 1")


@dataclass(frozen=True, slots=True)
class NetworkingSettings:
    """``[networking]``"""

    allow_vip_network_id: bool = option(True, "Requests may name the VIP's network.")
    allow_vip_subnet_id: bool = option(True, "Requests may name the VIP's subnet.")
    allow_vip_port_id: bool = option(True, "Requests may name the VIP's port.")
    valid_vip_networks: tuple[str, ...] = option((), "Networks that VIPs may be on; empty: all.")
    denylist_vip_networks: tuple[str, ...] = option((), "Networks that VIPs may not be on.")
    allow_invisible_resource_usage: bool = option(
        False, "Requests may name networks, ports and the like that their callers cannot see."
    )
    reserved_ips: tuple[str, ...] = option(RESERVED, "Addresses and networks that no member may be in.")


@dataclass(frozen=True, slots=True)
class QuotasSettings:
    """``[quotas]``: of projects for which none are set; -1: no limit"""

    default_load_balancer_quota: int = option(-1, "Load balancers of a project.")
    default_listener_quota: int = option(-1, "Listeners of a project.")
    default_member_quota: int = option(-1, "Members of a project.")
    default_pool_quota: int = option(-1, "Pools of a project.")
    default_health_monitor_quota: int = option(-1, "Health monitors of a project.")
    default_l7policy_quota: int = option(-1, "L7 policies of a project.")
    default_l7rule_quota: int = option(-1, "L7 rules of a project.")


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """``[bridge]``: the embedded network driver"""

    lb_network_cidr: str = option("10.213.0.0/18", "LB network: controllers and amphorae.")
    vip_cidr_v4: str = option("10.213.64.0/18", "IPv4 subnet of VIPs; empty: none.")
    vip_cidr_v6: str = option("fd68:7964:7269:61::/64", "IPv6 subnet of VIPs; empty: none.")
    mtu: int = option(1500, "MTU of both networks, bytes.")
    masquerade: bool = option(True, "Members beyond this host see its own address.")
    member_host_addresses: tuple[str, ...] = option(
        (), "Addresses of this host that members may have besides its own in the VIP network."
    )

    def __post_init__(self) -> None:
        """Refuse what is no address; ValueError says which."""
        for address in self.member_host_addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                raise ValueError(f"[bridge] member_host_addresses: {error}") from None


@dataclass(frozen=True, slots=True)
class NetnsSettings:
    """``[netns]``: the embedded compute driver"""

    first_user: int = option(
        0x7000_0000,
        "Numeric user ids of amphorae start here, one each; those of who is root inside start 16,777,216"
        " behind. No user of the host may have any of them, nor in /etc/subuid and /etc/subgid.",
    )
    visible_paths: tuple[str, ...] = option(
        (),
        "Files and directories of this host that amphorae see, read-only, besides the system's programs and"
        " libraries and the directory of haproxy_cmd: libraries of an HAProxy of your own, say.",
    )
    memory_limit_mb: int = option(256, "Memory of an amphora where the host has memory cgroups; 0: no limit.")
    cpu_limit: float = option(1.0, "Processors of an amphora where the host has cpu cgroups; 0: no limit.")
    compute_flavors: dict[str, str] = option(
        {}, "Other sizes that flavors can name (compute_flavor): name:megabytes/processors, small:64/0.5."
    )


@dataclass(frozen=True, slots=True)
class ComputeNoopSettings:
    """``[compute_noop]``: instances that are not there, for trials of the control plane"""

    boot_time: float = option(0.0, "Seconds until an ordered instance runs.")
    failing: int = option(0, "Of so many ordered instances one does not start but fails; 0: none.")


@dataclass(frozen=True, slots=True)
class CertificatesSettings:
    """``[certificates]``"""

    ca_certificate: str = option("", "CA of amphora certificates, PEM; empty: one made below state_dir.")
    ca_private_key: str = option("", "Its private key, PEM.")
    cert_validity_time: int = option(30 * 86400, "Seconds that an amphora's certificate is valid.")
    cert_manager: str = option("local_cert_manager", "Where the secrets that listeners refer to come from.")
    storage_path: str = option("", "Directory of the local certificate manager; empty: one below state_dir.")
    storage_key_file: str = option(
        "", "Key that it seals secrets with; empty: one made below state_dir. Keep a copy elsewhere."
    )
    renewal_interval: float = option(60.0, "Seconds between looks for secrets that were renewed.")


@dataclass(frozen=True, slots=True)
class HouseKeepingSettings:
    """``[house_keeping]``"""

    cleanup_interval: float = option(30.0, "Seconds between passes.")
    load_balancer_expiry_age: int = option(604_800, "Seconds that a deleted load balancer's row is kept.")
    amphora_expiry_age: int = option(604_800, "Seconds that a deleted amphora's row is kept.")
    handover_age: float = option(
        3600.0,
        "Seconds after which a change is undone whose third-party driver has not returned.",
    )
    orphan_age: float = option(120.0, "Seconds that something without an owner is left alone.")
    cert_expiry_buffer: int = option(
        259_200, "Seconds before the end of its certificate from which on an amphora is replaced; 0: never."
    )
    cert_rotate_threads: int = option(
        10, "Amphorae that one pass has replaced for that, if so many are due; more where more are."
    )


@dataclass(frozen=True, slots=True)
class DriverAgentSettings:
    """``[driver_agent]``"""

    status_socket_path: str = option(
        "/var/run/octavia/status.sock", "Unix socket at which providers report statuses."
    )
    stats_socket_path: str = option(
        "/var/run/octavia/stats.sock", "Unix socket at which providers report statistics."
    )
    get_socket_path: str = option(
        "/var/run/octavia/get.sock", "Unix socket at which providers look up objects."
    )
    status_request_timeout: float = option(5.0, "Seconds that a status report may take to arrive.")
    stats_request_timeout: float = option(5.0, "Seconds that a statistics report may take to arrive.")
    get_request_timeout: float = option(5.0, "Seconds that a look-up's request may take to arrive.")
    status_max_processes: int = option(50, "Status reports that are served at a time, by a thread each.")
    stats_max_processes: int = option(50, "Statistics reports that are served at a time, by a thread each.")
    get_max_processes: int = option(50, "Look-ups that are served at a time, by a thread each.")
    max_process_warning_percent: float = option(
        0.75, "Share of these from which on the log warns that there are many."
    )
    provider_agent_shutdown_timeout: float = option(
        60.0, "Seconds that provider agents have to end before they are killed."
    )
    enabled_provider_agents: tuple[str, ...] = option(
        (), "Provider agents to run: names of entry points in octavia.driver_agent.provider_agents."
    )


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """``[oslo_messaging_notifications]``: oslo.messaging's, which reads the others itself"""

    driver: tuple[str, ...] = option((), "How to send notifications (messagingv2, log, …); empty: none.")
    transport_url: str = option("", "Where to; empty: [DEFAULT] transport_url.", secret=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups; a group's field has its name.

    config_files: where they were read, for the options of other libraries.
    """

    config_files: tuple[str, ...] = ()
    DEFAULT: DefaultSettings = field(default_factory=DefaultSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    api_settings: ApiSettings = field(default_factory=ApiSettings)
    oslo_middleware: OsloMiddlewareSettings = field(default_factory=OsloMiddlewareSettings)
    cors: CorsSettings = field(default_factory=CorsSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    health_manager: HealthManagerSettings = field(default_factory=HealthManagerSettings)
    controller_worker: WorkerSettings = field(default_factory=WorkerSettings)
    haproxy_amphora: HaproxyAmphoraSettings = field(default_factory=HaproxyAmphoraSettings)
    amphora_agent: AmphoraAgentSettings = field(default_factory=AmphoraAgentSettings)
    networking: NetworkingSettings = field(default_factory=NetworkingSettings)
    quotas: QuotasSettings = field(default_factory=QuotasSettings)
    bridge: BridgeSettings = field(default_factory=BridgeSettings)
    netns: NetnsSettings = field(default_factory=NetnsSettings)
    compute_noop: ComputeNoopSettings = field(default_factory=ComputeNoopSettings)
    certificates: CertificatesSettings = field(default_factory=CertificatesSettings)
    house_keeping: HouseKeepingSettings = field(default_factory=HouseKeepingSettings)
    driver_agent: DriverAgentSettings = field(default_factory=DriverAgentSettings)
    oslo_messaging_notifications: NotificationSettings = field(default_factory=NotificationSettings)

    @property
    def state_dir(self) -> Path:
        """Where the embedded drivers keep what they make."""
        return Path(self.DEFAULT.state_dir)

    @property
    def database_url(self) -> str:
        """The database to use."""
        return self.database.connection or f"sqlite:///{self.state_dir / 'hydria.db'}"

    @property
    def controller_name(self) -> str:
        """The controller's name, unique among all programs of the deployment, and of all times."""
        return f"{self.DEFAULT.host or socket.gethostname()}:{processes.identity()}"


# On one machine silence is news within seconds; across a cloud it is noise.
EMBEDDED: dict[str, dict[str, object]] = {
    "certificates": {"renewal_interval": 2.0},
    "health_manager": {"heartbeat_interval": 1.0, "heartbeat_timeout": 2.5, "health_check_interval": 0.5},
    "driver_agent": {f"{name}_socket_path": f"$state_dir/{name}.sock" for name in ("status", "stats", "get")},
}

_OPTION_TYPES: dict[object, type[cfg.Opt]] = {
    str: cfg.StrOpt,
    int: cfg.IntOpt,
    float: cfg.FloatOpt,
    bool: cfg.BoolOpt,
    tuple[str, ...]: cfg.ListOpt,
    dict[str, str]: cfg.DictOpt,
}


def groups() -> Iterator[tuple[str, type[Any]]]:
    """Group name -> its dataclass."""
    hints = get_type_hints(Settings)
    for declared in dataclasses.fields(Settings):
        if dataclasses.is_dataclass(hints[declared.name]):
            yield declared.name, hints[declared.name]


def list_options() -> list[tuple[str, list[cfg.Opt]]]:
    """All options, for oslo.config's generators (entry point ``oslo.config.opts``)."""
    return [(group, list(_options(settings))) for group, settings in groups()]


def load(
    files: Sequence[str] = (),
    *,
    embedded: bool = False,
    overrides: dict[str, dict[str, object]] | None = None,
) -> Settings:
    """Read configuration files, later ones winning, then what the command line overrides.

    Raises Invalid when a file cannot be read or an option has a value it cannot have.
    """
    conf = cfg.ConfigOpts()
    for group, options in list_options():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    try:
        conf([], project="hydria", default_config_files=list(files), default_config_dirs=[])
        for group, values in (EMBEDDED if embedded else {}).items():
            for name, value in values.items():
                conf.set_default(name, value, group=group)
        for group, changed in (overrides or {}).items():
            for name, value in changed.items():
                conf.set_override(name, value, group=None if group == "DEFAULT" else group)
        read = {group: _read(conf, group, settings) for group, settings in groups()}
        return Settings(config_files=tuple(files), **read)
    except (cfg.Error, ValueError) as error:
        raise Invalid(f"Configuration ({', '.join(files) or 'defaults'}): {error}") from error


def library_options(files: Sequence[str]) -> cfg.ConfigOpts:
    """The same files for a library that has options of its own in them, as [oslo_policy]."""
    conf = cfg.ConfigOpts()
    conf([], project="hydria", default_config_files=list(files), default_config_dirs=[])
    return conf


def _options(settings: type[Any]) -> Iterator[cfg.Opt]:
    hints = get_type_hints(settings)
    for declared in dataclasses.fields(settings):
        more: dict[str, object] = {"secret": declared.metadata["secret"]}
        if declared.metadata["choices"]:
            more["choices"] = list(declared.metadata["choices"])
        if declared.metadata["share"]:
            more |= {"min": 0.0, "max": 1.0}
        default: Any = declared.metadata["default"]
        default = list(default) if isinstance(default, tuple) else default
        kind = cfg.PortOpt if declared.metadata["port"] else _OPTION_TYPES[hints[declared.name]]
        yield kind(declared.name, default=default, help=declared.metadata["help"], **more)


def _read(conf: cfg.ConfigOpts, group: str, settings: type[Any]) -> Any:
    section = conf if group == "DEFAULT" else conf[group]
    values = {declared.name: section[declared.name] for declared in dataclasses.fields(settings)}
    return settings(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )
