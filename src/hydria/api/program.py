"""The API controller program."""

from __future__ import annotations

import dataclasses

from hydria.api.app import make_app
from hydria.api.call import Services
from hydria.api.serve import Server
from hydria.drivers.network.interface import NetworkDriver
from hydria.messages import Wakeups
from hydria.model.rules import Deployment
from hydria.providers.registry import Registry
from hydria.settings import Settings
from hydria.store import Store


def services(settings: Settings, store: Store, network: NetworkDriver, wakeups: Wakeups) -> Services:
    """What request handlers work with."""
    api, haproxy = settings.api_settings, settings.haproxy_amphora
    switches = {field.name for field in dataclasses.fields(Deployment)}
    return Services(
        settings=settings,
        store=store,
        network=network,
        providers=Registry(settings, network),
        wakeups=wakeups,
        deployment=Deployment(
            reserved_ips=settings.networking.reserved_ips,
            **{name: value for name, value in dataclasses.asdict(api).items() if name in switches},
        ),
        defaults={
            "timeout_client_data": haproxy.timeout_client_data,
            "timeout_member_connect": haproxy.timeout_member_connect,
            "timeout_member_data": haproxy.timeout_member_data,
            "timeout_tcp_inspect": haproxy.timeout_tcp_inspect,
        },
    )


def make(settings: Settings, store: Store, network: NetworkDriver, wakeups: Wakeups) -> Server:
    """The API controller, ready to be started."""
    return Server(make_app(services(settings, store, network, wakeups)), settings)
