"""The providers of this deployment, loaded by entry point."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from importlib import metadata
from typing import Any, TypeAlias

from octavia_lib.api.drivers import exceptions, provider_base

from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import (
    Conflict,
    HydriaError,
    Invalid,
    NotFound,
    ProviderFailed,
    Unavailable,
    Unsupported,
)
from hydria.model.faults import discreet
from hydria.model.kinds import plain_address
from hydria.model.resource import Resource, extensions_used
from hydria.model.statuses import ListenerProtocol, PoolProtocol
from hydria.settings import Settings

LOG = logging.getLogger(__name__)
NAMESPACE = "octavia.api.drivers"

VipDict: TypeAlias = dict[str, Any]


# What octavia-lib has drivers say, each with a text for the caller and one for the operator (contract 3.2).
_SPOKEN = (
    exceptions.NotImplementedError,
    exceptions.UnsupportedOptionError,
    exceptions.Conflict,
    exceptions.NotFound,
    exceptions.DriverError,
)


class Completion(Enum):
    """When a provider has done what it was asked; a driver says so in ``hydria_completion``.

    CONVERGED: a worker brings the data plane to the desired state; changes are accepted at any time.
    IMMEDIATE: as soon as the call returns.
    REPORTED: when the driver says so through octavia-lib's DriverLibrary; until then the tree is locked, as
    drivers written for Octavia count on (contract 1.20).
    """

    CONVERGED = "converged"
    IMMEDIATE = "immediate"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class Provider:
    """One loaded provider driver."""

    name: str
    driver: Any
    completion: Completion

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of octavia-lib's ProviderDriver; its errors become Hydria's (contract 3.2)."""
        try:
            return getattr(self.driver, method)(*arguments)
        except _SPOKEN as error:
            usual = method == "create_vip_port" and isinstance(error, exceptions.NotImplementedError)
            level = logging.DEBUG if usual else logging.WARNING
            LOG.log(level, "Provider '%s' in %s: %s", self.name, method, error.operator_fault_string)
            raise self._translated(error) from error
        except (NotFound, Invalid, Conflict, Unavailable, Unsupported):
            raise  # Hydria's own drivers speak its words
        except Exception as error:
            LOG.exception("Provider '%s' failed in %s", self.name, method)
            raise ProviderFailed(self.name, discreet(str(error))) from error

    def _translated(self, error: Any) -> HydriaError:
        text = str(error.user_fault_string)
        if isinstance(error, exceptions.NotImplementedError):
            return Unimplemented(self.name, text)
        if isinstance(error, exceptions.UnsupportedOptionError):
            return Unsupported(self.name, text)
        if isinstance(error, exceptions.Conflict):
            return address_taken(text)
        return ProviderFailed(self.name, text)

    def admit_policies(self, protocol: ListenerProtocol) -> None:
        """Raise Unsupported if the driver says that it has no L7 policies on listeners of this protocol.

        A driver of Hydria's own names those that have them in ``hydria_policy_protocols``; others refuse for
        themselves.
        """
        served = getattr(self.driver, "hydria_policy_protocols", None)
        if served is not None and protocol not in served:
            raise Unsupported(self.name, f"L7 policies are not supported on {protocol} listeners.")

    def admit_limits(self, protocol: ListenerProtocol) -> None:
        """Raise Unsupported if the driver says that it limits no rates on listeners of this protocol.

        A driver of Hydria's own names those that it does in ``hydria_limited_protocols``.
        """
        served = getattr(self.driver, "hydria_limited_protocols", None)
        if served is not None and protocol not in served:
            raise Unsupported(self.name, f"rate limits are not supported on {protocol} listeners.")

    def admit_families(self, protocol: PoolProtocol, vips: Iterable[str], members: Iterable[str]) -> None:
        """Raise Unsupported for an address of a member that no VIP of a listener's pool can send to.

        A driver of Hydria's own names the protocols for which it does not translate between IPv4 and IPv6 in
        ``hydria_unmixed_protocols``; others refuse for themselves. The words are those of Octavia's driver.
        """
        if protocol not in getattr(self.driver, "hydria_unmixed_protocols", ()):
            return
        families = {plain_address(vip).version for vip in vips}
        if any(plain_address(member).version not in families for member in members):
            raise Unsupported(
                self.name,
                "This provider doesn't support mixing IPv4 and IPv6 addresses for its VIP and members in "
                f"{protocol} load balancers.",
            )

    def admit_extensions(self, resource: type[Resource], values: Mapping[str, object]) -> None:
        """Raise Unsupported for values that Octavia does not have, unless the driver says that it has them.

        Drivers of Hydria's own say so in ``hydria_extensions``; octavia-lib has no words for these.
        """
        if getattr(self.driver, "hydria_extensions", False):
            return
        for key, extension in extensions_used(resource, values):
            raise Unsupported(self.name, f"{key}, as the extension '{extension.alias}' has it.")

    def create_vip_port(
        self, load_balancer_id: str, project_id: str, vip: VipDict, additional: list[VipDict]
    ) -> tuple[VipDict, list[VipDict]] | None:
        """Have the driver make the VIP's port; None when it leaves that to us.

        The dictionaries have the keys of contract 3.2; in the answer they are filled in.
        """
        try:
            answer = self.call("create_vip_port", load_balancer_id, project_id, vip, additional)
        except Unimplemented:
            return None
        try:
            made, more = answer
            found = dict(made), [dict(each) for each in more or ()]
        except (TypeError, ValueError) as error:
            raise ProviderFailed(self.name, "create_vip_port did not return a VIP and a list.") from error
        missing = [key for key in ("vip_address", "vip_port_id") if not (vip | found[0]).get(key)]
        if missing:
            raise ProviderFailed(self.name, f"create_vip_port did not return {' and '.join(missing)}.")
        return found


class Registry:
    """Providers by name, each loaded when it is first asked for.

    There is one object of each of Hydria's own drivers, and one for each request of every other: drivers
    written for Octavia are used so there, and need not stand several threads at a time.
    """

    def __init__(self, settings: Settings, network: NetworkDriver) -> None:
        self._settings = settings
        self._network = network
        self._loaded: dict[str, Provider] = {}
        self._reporting: dict[str, bool] = {}

    @cached_property
    def usable(self) -> Mapping[str, str]:
        """Name -> description of the enabled providers whose drivers can be loaded."""
        found = {}
        for name, description in self.enabled.items():
            try:
                self.get(name)
            except Exception as error:  # noqa: BLE001  (somebody else's code)
                LOG.warning("Provider '%s' is enabled, but its driver cannot be loaded: %s", name, error)
            else:
                found[name] = description
        return found

    @property
    def enabled(self) -> Mapping[str, str]:
        """Name -> description, as configured."""
        return self._settings.api_settings.enabled_provider_drivers

    def get(self, name: str) -> Provider:
        """The provider of this name, whether or not new load balancers may choose it.

        Raises Unsupported when no such driver is installed.
        """
        if name in self._loaded:
            return self._loaded[name]
        try:
            for found in metadata.entry_points(group=NAMESPACE, name=name):
                # Drivers for Octavia are made without arguments; Hydria's own ask for what they need.
                provider = self._made(name, found.load()())
                if provider.completion is not Completion.REPORTED:
                    self._loaded[name] = provider
                return provider
        except Exception as error:
            LOG.exception("The driver of provider '%s' cannot be loaded", name)
            raise ProviderMissing(name) from error
        raise ProviderMissing(name)

    def choose(self, name: str | None) -> Provider:
        """The provider of a new load balancer. Raises Invalid when it is not enabled."""
        chosen = name or self._settings.api_settings.default_provider_driver
        if chosen not in self.enabled:
            raise Invalid(f"Provider '{chosen}' is not enabled.")
        return self.get(chosen)

    def reports(self, name: str) -> bool:
        """Whether the provider of this name reports through DriverLibrary, without making its driver.

        One that is not installed here counts as a third party's: Hydria's own always are.
        """
        if name in self._loaded:
            return self._loaded[name].completion is Completion.REPORTED
        if name not in self._reporting:
            self._reporting[name] = _completion(name) is Completion.REPORTED
        return self._reporting[name]

    def add(self, name: str, driver: Any) -> Provider:
        """Take in a driver under this name, for all requests."""
        self._loaded[name] = self._made(name, driver)
        return self._loaded[name]

    def _made(self, name: str, driver: Any) -> Provider:
        if not isinstance(driver, provider_base.ProviderDriver):
            raise ProviderFailed(name, "its entry point is not an octavia-lib ProviderDriver.")
        connect = getattr(driver, "hydria_connect", None)
        if connect is not None:
            connect(self._settings, self._network)
        driver.name = name
        return Provider(name, driver, getattr(driver, "hydria_completion", Completion.REPORTED))


class Unimplemented(Unsupported):
    """The driver does not have this action."""

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(provider, detail, option=False)


class ProviderMissing(Unsupported):
    """No such driver is installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.message = f"Provider '{name}' was not found."
        self.args = (self.message,)


def _completion(name: str) -> Completion:
    for found in metadata.entry_points(group=NAMESPACE, name=name):
        try:
            driver = found.load()
        except Exception:
            LOG.exception("The driver of provider '%s' cannot be loaded", name)
            continue
        return getattr(driver, "hydria_completion", Completion.REPORTED)
    return Completion.REPORTED


def address_taken(detail: str) -> Conflict:
    """The error for a VIP address that somebody else has."""
    return Conflict(f"The VIP IP address is already in use: {detail}")
