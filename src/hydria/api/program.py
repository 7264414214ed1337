"""The API controller program."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hydria.api import front, pipeline
from hydria.api.app import make_app
from hydria.api.call import Administrators, Judge, Services
from hydria.api.caller import NOAUTH, identifier
from hydria.api.serve import Server
from hydria.drivers import loading
from hydria.drivers.network.interface import NetworkDriver
from hydria.messages import Wakeups
from hydria.model.errors import Invalid
from hydria.model.rules import Deployment
from hydria.model.statuses import ALPNProtocol, TLSVersion
from hydria.providers.registry import Registry
from hydria.settings import Settings
from hydria.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)


def services(settings: Settings, store: Store, network: NetworkDriver, wakeups: Wakeups) -> Services:
    """What request handlers work with."""
    haproxy = settings.haproxy_amphora
    return Services(
        settings=settings,
        store=store,
        network=network,
        providers=Registry(settings, network),
        wakeups=wakeups,
        deployment=deployment(settings),
        defaults={
            "default_provider_driver": settings.api_settings.default_provider_driver,
            "timeout_client_data": haproxy.timeout_client_data,
            "timeout_member_connect": haproxy.timeout_member_connect,
            "timeout_member_data": haproxy.timeout_member_data,
            "timeout_tcp_inspect": haproxy.timeout_tcp_inspect,
        },
        certificates=loading.certificate_manager(settings),
        policy=_judge(settings),
    )


def _judge(settings: Settings) -> Judge:
    if settings.api_settings.auth_strategy == NOAUTH:
        return Administrators()
    from hydria.api.policy.enforcement import Enforcement  # noqa: PLC0415  (oslo.policy is large)

    return Enforcement(settings)


def check(settings: Settings) -> None:
    """Raise Invalid for options of the API that cannot work."""
    deployment(settings)
    identifier(settings)
    _judge(settings)
    front.check(settings)


def application(services: Services) -> WSGIApplication:
    """The API as it is to be served."""
    return pipeline.around(make_app(services), services.settings)


def deployment(settings: Settings) -> Deployment:
    """What the operator allows; Invalid when the options contradict each other."""
    api = settings.api_settings
    try:
        made = Deployment(
            reserved_ips=settings.networking.reserved_ips,
            allow_ping_health_monitors=api.allow_ping_health_monitors,
            allow_tls_terminated_listeners=api.allow_tls_terminated_listeners,
            allow_prometheus_listeners=api.allow_prometheus_listeners,
            udp_connect_min_interval_health_monitor=api.udp_connect_min_interval_health_monitor,
            default_listener_ciphers=api.default_listener_ciphers,
            default_pool_ciphers=api.default_pool_ciphers,
            default_listener_tls_versions=tuple(map(TLSVersion, api.default_listener_tls_versions)),
            default_pool_tls_versions=tuple(map(TLSVersion, api.default_pool_tls_versions)),
            default_listener_alpn_protocols=tuple(map(ALPNProtocol, api.default_listener_alpn_protocols)),
            default_pool_alpn_protocols=tuple(map(ALPNProtocol, api.default_pool_alpn_protocols)),
            tls_cipher_prohibit_list=tuple(filter(None, api.tls_cipher_prohibit_list.split(":"))),
            minimum_tls_version=TLSVersion(api.minimum_tls_version) if api.minimum_tls_version else None,
        )
    except ValueError as error:
        raise Invalid(f"Configuration, [api_settings] TLS options: {error}") from error
    made.check()
    return made


def make(settings: Settings, store: Store, network: NetworkDriver, wakeups: Wakeups) -> Server:
    """The API controller, ready to be started."""
    made = services(settings, store, network, wakeups)
    LOG.info("Providers: %s", ", ".join(made.providers.usable) or "none")
    return Server(application(made), settings)
