"""The driver agent program: three sockets, and the provider agents."""

from __future__ import annotations

import threading
from pathlib import Path

from hydria.driver_agent import statistics, statuses
from hydria.driver_agent.lookups import Lookups
from hydria.driver_agent.provider_agents import ProviderAgents
from hydria.driver_agent.server import Limits, SocketServer
from hydria.drivers.network.interface import NetworkDriver
from hydria.providers.registry import Registry
from hydria.settings import Settings
from hydria.store import Store


class DriverAgent:
    """Where third-party providers report and look up, by octavia-lib's DriverLibrary."""

    def __init__(self, settings: Settings, store: Store, network: NetworkDriver) -> None:
        options = settings.driver_agent
        may_report = Registry(settings, network).reports
        self._stopping = threading.Event()
        self._servers = [
            SocketServer(
                "status",
                Path(options.status_socket_path),
                statuses.Statuses(store, network, may_report, self._stopping).answer,
                Limits(
                    options.status_request_timeout,
                    options.status_max_processes,
                    options.max_process_warning_percent,
                ),
                statuses.apology,
            ),
            SocketServer(
                "stats",
                Path(options.stats_socket_path),
                statistics.Statistics(store, may_report, self._stopping).answer,
                Limits(
                    options.stats_request_timeout,
                    options.stats_max_processes,
                    options.max_process_warning_percent,
                ),
                statistics.apology,
            ),
            SocketServer(
                "get",
                Path(options.get_socket_path),
                Lookups(store).answer,
                Limits(
                    options.get_request_timeout,
                    options.get_max_processes,
                    options.max_process_warning_percent,
                ),
            ),
        ]
        self._agents = ProviderAgents(
            options.enabled_provider_agents, options.provider_agent_shutdown_timeout
        )

    def start(self) -> None:
        """Serve the sockets, then start the provider agents, which use them."""
        try:
            for server in self._servers:
                server.start()
        except BaseException:
            self.stop()
            raise
        self._agents.start()

    def stop(self) -> None:
        """End the provider agents, then the sockets."""
        self._agents.stop()
        self._stopping.set()
        for server in self._servers:
            server.stop()
