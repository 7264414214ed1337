"""The providers of this deployment, loaded by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from typing import Any

from octavia_lib.api.drivers import exceptions, provider_base

from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import Conflict, Invalid, NotFound, ProviderFailed, Unsupported
from hydria.settings import Settings

NAMESPACE = "octavia.api.drivers"


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
        except exceptions.NotImplementedError as error:
            raise Unsupported(self.name, error.user_fault_string, option=False) from error
        except exceptions.UnsupportedOptionError as error:
            raise Unsupported(self.name, error.user_fault_string) from error
        except exceptions.Conflict as error:
            raise Conflict(f"The VIP IP address is already in use: {error.user_fault_string}") from error
        except exceptions.DriverError as error:
            raise ProviderFailed(self.name, error.user_fault_string) from error
        except (NotFound, Invalid, Conflict):
            raise
        except Exception as error:
            raise ProviderFailed(self.name, str(error)) from error


class Registry:
    """Providers by name, each loaded once, when it is first asked for."""

    def __init__(self, settings: Settings, network: NetworkDriver) -> None:
        self._settings = settings
        self._network = network
        self._loaded: dict[str, Provider] = {}

    @property
    def enabled(self) -> Mapping[str, str]:
        """Name -> description, as configured."""
        return self._settings.api_settings.enabled_provider_drivers

    def get(self, name: str) -> Provider:
        """The provider of this name, whether or not new load balancers may choose it.

        Raises Unsupported when no such driver is installed.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def choose(self, name: str | None) -> Provider:
        """The provider of a new load balancer. Raises Invalid when it is not enabled."""
        chosen = name or self._settings.api_settings.default_provider_driver
        if chosen not in self.enabled:
            raise Invalid(f"Provider '{chosen}' is not enabled.")
        return self.get(chosen)

    def _load(self, name: str) -> Provider:
        for found in metadata.entry_points(group=NAMESPACE, name=name):
            # Drivers for Octavia are made without arguments; Hydria's own ask for what they need.
            driver = found.load()()
            connect = getattr(driver, "hydria_connect", None)
            if connect is not None:
                connect(self._settings, self._network)
            completion = getattr(driver, "hydria_completion", Completion.REPORTED)
            if not isinstance(driver, provider_base.ProviderDriver):
                raise ProviderFailed(name, "its entry point is not an octavia-lib ProviderDriver.")
            return Provider(name, driver, completion)
        raise ProviderMissing(name)


class ProviderMissing(Unsupported):
    """No such driver is installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.message = f"Provider '{name}' was not found."
        self.args = (self.message,)
