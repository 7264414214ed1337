"""One process with all programs, nothing below them: what the tests of clients talk to."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openstack.load_balancer.v2._proxy import Proxy

from tests.system.deployment import HYDRIA, Answer, Deployment, free_port

SUBNET = "11111111-1111-4111-8111-111111111111"  # the noop network driver has every subnet
NOBODY = "77777777-0000-4000-8000-000000000000"
# What the client's authors plan to change in the client says nothing about Hydria.
QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


@dataclass
class Served:
    """A running Hydria and what to say to it without a client."""

    deployment: Deployment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.deployment.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        below: str = "/v2/lbaas",
    ) -> Answer:
        """An answer as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.deployment.port, timeout=30)
        text = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        with closing(connection):
            connection.request(method, below + path, text, sent | dict(headers or {}))
            response = connection.getresponse()
            answer = response.read()
        return Answer(response.status, json.loads(answer) if answer else None)


@contextmanager
def served(directory: Path, options: str = "", api: str = "") -> Iterator[Served]:
    """Hydria with the noop drivers; ``options`` are added to its configuration, ``api`` to that of the API."""
    deployment = Deployment(directory, "10.219", embedded=True)
    deployment.config.write_text(
        f"""[DEFAULT]
state_dir = {directory}
[api_settings]
bind_port = {deployment.port}
enabled_provider_drivers = amphora: The amphora provider, noop_driver: Does nothing
{api}
[health_manager]
bind_ip = 127.0.0.1
bind_port = {free_port()}
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
{options}
"""
    )
    subprocess.run(
        [*HYDRIA, "db", "upgrade", "--config-file", str(deployment.config)], check=True, timeout=60
    )
    try:
        deployment.start()
        yield Served(deployment)
    finally:
        deployment.stop()


def settled(sdk: Proxy, item: Any) -> Any:
    """The object once it is ACTIVE."""
    return sdk.wait_for_status(item, "ACTIVE", interval=0.05, wait=20, attribute="provisioning_status")
