"""What every request handler has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydria.drivers.certificates.manager import CertificateManager
from hydria.drivers.network.interface import NetworkDriver
from hydria.messages import Wakeups
from hydria.model.rules import Deployment
from hydria.providers.registry import Registry
from hydria.settings import Settings
from hydria.store import Store


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``project_id`` is empty when the identity names none."""

    project_id: str
    admin: bool


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
