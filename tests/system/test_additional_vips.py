"""A load balancer with several addresses: every listener serves each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.deployment import Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("vips")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.224", embedded=True)) as running:
        yield running


def test_every_listener_serves_every_vip(machine: Deployment) -> None:
    subnets = {each["ip_version"]: each["id"] for each in machine.call("GET", "/subnets")["subnets"]}
    with web_server(machine.gateway) as port:
        pool = {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [{"address": machine.gateway, "protocol_port": port}],
        }  # fmt: skip
        listeners = [
            {"protocol": "HTTP", "protocol_port": number, "default_pool": {"name": "p"}}
            for number in (80, 81)
        ]
        body = {
            "vip_subnet_id": subnets[4], "additional_vips": [{"subnet_id": subnets[6]}], "pools": [pool],
            "listeners": listeners,
        }  # fmt: skip
        made = machine.call("POST", "/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        (more,) = made["additional_vips"]
        assert more["port_id"] == made["vip_port_id"]
        assert ":" in more["ip_address"]
        machine.await_status(made["id"])
        addresses = (made["vip_address"], more["ip_address"])
        for address in addresses:
            for number in (80, 81):
                wait_for(lambda a=address, n=number: get(a, port=n) == "ok", 10, f"{address} {number}")
        machine.call("PUT", f"/loadbalancers/{made['id']}/failover")
        machine.await_status(made["id"])
        for address in addresses:
            wait_for(lambda a=address: get(a) == "ok", 10, f"{address} serves after the failover")
        machine.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        wait_for(lambda: not machine.namespaces(), 30, "nothing is left of it")
