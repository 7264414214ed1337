"""The operator's decisions about the data plane, from the settings."""

from __future__ import annotations

from hydria.dataplane import Tuning
from hydria.settings import AmphoraAgentSettings, Settings
from hydria.wire.logs import Syslog


def tuning(settings: Settings) -> Tuning:
    """As the renderers want them."""
    haproxy, agent = settings.haproxy_amphora, settings.amphora_agent
    flows = agent.tenant_log_targets if haproxy.connection_logging else ()
    return Tuning(
        default_connection_limit=haproxy.default_connection_limit,
        stick_size=haproxy.haproxy_stick_size,
        hard_stop_after=haproxy.hard_stop_after,
        threads=haproxy.haproxy_threads,
        ipv6_client_prefix=haproxy.ipv6_client_prefix,
        tenant_logs=_syslog(flows, agent.user_log_facility, agent),
        admin_logs=_syslog(agent.admin_log_targets, agent.administrative_log_facility, agent),
        log_format=haproxy.user_log_format,
    )


def _syslog(targets: tuple[str, ...], facility: int, options: AmphoraAgentSettings) -> Syslog | None:
    if not targets:
        return None
    return Syslog(
        targets=targets,
        protocol=options.log_protocol,
        facility=facility,
        queue=options.log_queue_size,
        retry_interval=options.log_retry_interval,
        retry_count=options.log_retry_count,
        keep=not options.disable_local_log_storage,
    )
