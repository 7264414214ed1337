"""What every request handler has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.network.interface import NetworkDriver, Viewer
from hydria.messages import Wakeups
from hydria.model.rules import Deployment
from hydria.providers.registry import Registry
from hydria.settings import Settings
from hydria.store import Store


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. What the identity does not name is empty.

    admin: the administrator, whatever rules say; only without identity.
    project_id, domain_id, system_scope: what the caller's rights are about.
    service_…: the service that passes on the request of a user.
    token: what other services know the caller by.
    """

    project_id: str
    admin: bool = False
    user_id: str = ""
    roles: tuple[str, ...] = ()
    system_scope: str = ""
    domain_id: str = ""
    user_domain_id: str = ""
    project_domain_id: str = ""
    service_user_id: str = ""
    service_project_id: str = ""
    service_roles: tuple[str, ...] = ()
    token: str = field(default="", repr=False)


class Judge(Protocol):
    """Who knows what callers may do; asked through hydria.api.policy."""

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        """Whether the caller may do this; the arguments are those of :func:`hydria.api.policy.authorize`."""


class Administrators:
    """Without identity: everybody on this host is the administrator, and there is nobody else."""

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:  # noqa: ARG002  (a Judge's)
        """Whether the caller is the administrator."""
        return caller.admin


@dataclass(frozen=True, slots=True)
class Services:
    """Made once per API program.

    defaults: the operator's values of attributes whose default is configured (model Configured).
    """

    settings: Settings
    store: Store
    network: NetworkDriver
    providers: Registry
    wakeups: Wakeups
    deployment: Deployment
    defaults: Mapping[str, object]
    certificates: CertificateManager
    policy: Judge = field(default_factory=Administrators)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the services, who asks, and where links shall point (``http://host:port``).

    if_match: the ETags that the object must have one of, None when the request does not say (conditions.py).
    """

    services: Services
    caller: Caller
    base_url: str
    request_id: str = ""
    if_match: frozenset[str] | None = None

    @property
    def network(self) -> NetworkDriver:
        """The network service as the caller sees it (contract 1.9)."""
        services = self.services
        if services.settings.networking.allow_invisible_resource_usage:
            return services.network
        return services.network.seen_by(Viewer(self.caller.project_id, self.caller.token))
