"""What an operator of one machine sees of a load balancer: metrics on its VIP, logs at the host's address."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.deployment import Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system

RECEIVER = ("10.225.0.1", 15140)
OPTIONS = """
[amphora_agent]
tenant_log_targets = 10.225.0.1:15140
admin_log_targets = 10.225.0.1:15140
log_protocol = TCP
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("seen")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.225", OPTIONS, embedded=True)) as running:
        yield running


@pytest.fixture
def lines(machine: Deployment) -> Iterator[list[str]]:
    """What the receiver gets."""
    found: list[str] = []

    def read(connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile() as text:
            found.extend(text)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=read, args=(receiver.accept()[0],), daemon=True).start()

    receiver = socket.create_server(RECEIVER)
    threading.Thread(target=accept, daemon=True).start()
    yield found
    with suppress(OSError):
        receiver.shutdown(socket.SHUT_RDWR)
    receiver.close()


def test_metrics_and_logs(machine: Deployment, lines: list[str]) -> None:
    with web_server(machine.gateway) as port:
        balancer = machine.order([port])
        machine.await_status(balancer["id"])
        metrics = {
            "loadbalancer_id": balancer["id"], "protocol": "PROMETHEUS", "protocol_port": 8088,
            "allowed_cidrs": ["10.225.0.0/16"],
        }  # fmt: skip
        made = machine.call("POST", "/listeners", {"listener": metrics})["listener"]
        machine.await_status(balancer["id"])
        shown = f"/listeners/{made['id']}"
        wait_for(
            lambda: machine.call("GET", shown)["listener"]["operating_status"] == "ONLINE", 20, "it is ONLINE"
        )
        vip = balancer["vip_address"]
        wait_for(lambda: get(vip) == "ok", 10, "it serves")
        connection = http.client.HTTPConnection(vip, 8088, timeout=10)
        connection.request("GET", "/metrics")
        families = {
            family.name: family
            for family in text_string_to_metric_families(connection.getresponse().read().decode())
        }
        connection.close()
        (web,) = [
            each["id"] for each in machine.show(balancer["id"])["listeners"] if each["id"] != made["id"]
        ]
        (requests,) = [
            sample.value
            for sample in families["octavia_listener_http_requests"].samples
            if sample.labels == {"listener": web}
        ]
        assert requests >= 1
        wait_for(
            lambda: any(f" {balancer['id']} {web} " in line for line in lines), 20, "a record of a request"
        )
        wait_for(lambda: any(" amphora-agent[" in line for line in lines), 20, "a line of the agent")
        refused = {"loadbalancer_id": balancer["id"], "protocol": "PROMETHEUS", "protocol_port": 8089,
                   "default_pool_id": machine.show(balancer["id"])["pools"][0]["id"]}  # fmt: skip
        assert machine.request("POST", "/listeners", {"listener": refused}).status == 400
        machine.call("DELETE", f"/loadbalancers/{balancer['id']}?cascade=true")
        wait_for(lambda: not machine.namespaces(), 30, "nothing is left of it")
