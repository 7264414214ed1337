"""The application: which URL belongs to which endpoint (contract 1.1, 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon

from hydria.api import faults, key_manager, networks, roots
from hydria.api.amphorae import (
    AmphoraConfig,
    Amphorae,
    AmphoraFailover,
    AmphoraItem,
    AmphoraStatistics,
    LoadBalancerFailover,
)
from hydria.api.call import Services
from hydria.api.caller import NOAUTH, OPEN_PATHS, identifier
from hydria.api.endpoints import Collection, Item, Members, Statistics, Statuses
from hydria.api.extensions import Extensions
from hydria.api.healthcheck import Healthcheck
from hydria.api.hosts import Hosts
from hydria.api.middleware import Identification, Naming, Transport
from hydria.api.openapi.document import PATH, document
from hydria.api.openapi.publication import Publication
from hydria.api.providers import Capabilities, Providers
from hydria.api.quotas import QuotaDefaults, Quotas, QuotasOfProject, QuotaUsage
from hydria.api.versions import Discovery, Index
from hydria.drivers.certificates.manager import Listing
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared, url_path
from hydria.settings import ApiSettings
from hydria.store.tables import OFFERED

# The same API, with and without the service's name in front, under both names of the version, and for clients
# that leave out "lbaas".
SERVICES = ("", "/load-balancer")
VERSIONS = ("/v2", "/v2.0")
SUITES = ("/lbaas", "")


class App(falcon.App[falcon.Request, falcon.Response]):
    """A Falcon application that remembers what it was given, for its own description."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.routed: list[tuple[str, object]] = []

    def add_route(self, uri_template: str, resource: object, **options: Any) -> None:
        """As inherited."""
        self.routed.append((uri_template, resource))
        super().add_route(uri_template, resource, **options)


def make_app(services: Services) -> App:
    """The WSGI application."""
    settings = services.settings.api_settings
    longest_body = services.settings.oslo_middleware.max_request_body_size
    identification = Identification(identifier(services.settings), _open_paths(settings))
    app = App(middleware=[Transport(longest_body), identification, Naming(Hosts(services.settings))])
    app.req_options.strip_url_path_trailing_slash = True
    faults.install(app)
    own = dict(_own_routes(services))
    discovery, index = Discovery(), Index()
    # Clients with one endpoint for everything look for networks there.
    routes = [*_routes(services), *networks.shared(own.get(roots.NETWORK, ()))]
    operator_routes = list(_operator_routes(services))
    publication = Publication(lambda: document(app.routed, settings))
    for service in SERVICES:
        app.add_route(service or "/", discovery)
        app.add_route(f"{service}{PATH.removesuffix('.json')}", publication)
        for version in VERSIONS:
            for path in ("", "/lbaas", "/octavia"):
                app.add_route(f"{service}{version}{path}", index)
            for suite in SUITES:
                for path, endpoint in routes:
                    app.add_route(f"{service}{version}{suite}{path}", endpoint)
            for path, endpoint in operator_routes:
                app.add_route(f"{service}{version}/octavia{path}", endpoint)
        if settings.healthcheck_enabled:
            app.add_route(f"{service}/healthcheck", _healthcheck(services))
    for root, found in own.items():
        versions = roots.Version(settings, root)
        for path in (root, roots.versioned(root)):
            app.add_route(path, versions)
        for path, endpoint in found:
            app.add_route(f"{roots.versioned(root)}{path}", endpoint)
    return app


def _open_paths(settings: ApiSettings) -> frozenset[str]:
    """Where nobody asks who asks. The description of the API is nobody's secret on this host."""
    if settings.auth_strategy != NOAUTH:
        return OPEN_PATHS
    return OPEN_PATHS | {f"{service}{PATH}" for service in SERVICES}


def _routes(services: Services) -> Iterator[tuple[str, object]]:
    """Path below ``lbaas`` -> endpoint."""
    listed: tuple[type[Declared], ...] = (
        LoadBalancer, Listener, Pool, HealthMonitor, L7Policy, RateLimitPolicy, *OFFERED,
    )  # fmt: skip
    for resource in listed:
        yield f"/{url_path(resource)}", Collection(services, resource)
        yield f"/{url_path(resource)}/{{identifier}}", Item(services, resource)
    yield "/pools/{identifier}/members", Members(services, Member)
    yield "/pools/{identifier}/members/{child}", Item(services, Member)
    yield "/l7policies/{identifier}/rules", Collection(services, L7Rule)
    yield "/l7policies/{identifier}/rules/{child}", Item(services, L7Rule)
    yield "/ratelimitpolicies/{identifier}/rules", Collection(services, RateLimitRule)
    yield "/ratelimitpolicies/{identifier}/rules/{child}", Item(services, RateLimitRule)
    yield "/loadbalancers/{identifier}/stats", Statistics(services, LoadBalancer)
    yield "/loadbalancers/{identifier}/status", Statuses(services, LoadBalancer)
    yield "/loadbalancers/{identifier}/statuses", Statuses(services, LoadBalancer)
    yield "/listeners/{identifier}/stats", Statistics(services, Listener)
    yield "/loadbalancers/{identifier}/failover", LoadBalancerFailover(services)
    yield "/quotas", Quotas(services)
    yield "/quotas/{project}", QuotasOfProject(services)
    yield "/quotas/{project}/default", QuotaDefaults(services)
    yield "/quotas/{project}/usage", QuotaUsage(services)
    yield "/extensions", Extensions()
    yield "/extensions/{alias}", Extensions()
    yield "/providers", Providers(services)
    for kind in ("flavor", "availability_zone"):
        yield f"/providers/{{provider}}/{kind}_capabilities", Capabilities(services, kind)


def _own_routes(services: Services) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    """Root of another service whose part Hydria has itself -> its routes below the version."""
    if services.network.default_vip_subnet_id is not None:
        yield roots.NETWORK, list(networks.routes(services))
    if isinstance(services.certificates, Listing):
        yield roots.KEY_MANAGER, list(key_manager.routes(services, services.certificates))


def _operator_routes(services: Services) -> Iterator[tuple[str, object]]:
    """Path below ``octavia`` -> endpoint."""
    yield "/amphorae", Amphorae(services)
    yield "/amphorae/{amphora}", AmphoraItem(services)
    yield "/amphorae/{amphora}/stats", AmphoraStatistics(services)
    yield "/amphorae/{amphora}/config", AmphoraConfig(services)
    yield "/amphorae/{amphora}/failover", AmphoraFailover(services)


def _healthcheck(services: Services) -> Healthcheck:
    return Healthcheck(services.store, services.settings.api_settings.healthcheck_refresh_interval)
