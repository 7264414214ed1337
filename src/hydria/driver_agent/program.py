"""The driver agent program."""

from __future__ import annotations

import logging

from hydria.settings import Settings

LOG = logging.getLogger(__name__)


class DriverAgent:
    """Says what it serves. The sockets for status, statistics and get do not exist yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self) -> None:
        """Say what is served."""
        agents = ", ".join(self._settings.driver_agent.enabled_provider_agents)
        if agents:
            LOG.warning("Provider agents are configured but not supported yet: %s", agents)
        LOG.info("Driver agent: no sockets are served yet; the amphora and noop providers need none")

    def stop(self) -> None:
        """Nothing is running."""
