"""``openstack loadbalancer`` orders on one machine, as the README has it, and real traffic goes through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.openstack_client import Openstack
from tests.clients.served import QUIET, Served
from tests.system.deployment import Deployment, deployed, get, wait_for, web_server

pytestmark = [pytest.mark.system, QUIET]


@dataclass
class Machine:
    """Hydria with amphorae in namespaces, the client, and the ports of two web servers, ``one`` and ``two``."""

    openstack: Openstack
    gateway: str
    ports: tuple[int, int]


@pytest.fixture(scope="module")
def this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    directory = tmp_path_factory.mktemp("traffic")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.229", embedded=True)) as deployment:
        served = Served(deployment)
        openstack = Openstack(served, {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": served.url})
        with web_server(deployment.gateway, "one") as one, web_server(deployment.gateway, "two") as two:
            yield Machine(openstack, deployment.gateway, (one, two))


def answers(vip: str, count: int = 8) -> Counter[str]:
    return Counter(get(vip, timeout=5) for _ in range(count))


def test_what_is_ordered_is_served(this_machine: Machine) -> None:
    cli = this_machine.openstack
    made = cli("loadbalancer create", "--name", "lb", "--vip-subnet-id", "hydria-vip-v4", "--wait")
    vip = made["vip_address"]
    cli("loadbalancer listener create", "--name", "web", "--protocol", "HTTP", "--protocol-port", 80, "lb")
    cli(
        "loadbalancer pool create", "--name", "servers", "--protocol", "HTTP", "--lb-algorithm", "ROUND_ROBIN",
        "--listener", "web",
    )  # fmt: skip
    for name, port in zip(("one", "two"), this_machine.ports, strict=True):
        cli(
            "loadbalancer member create", "--name", name, "--address", this_machine.gateway, "--protocol-port",
            port, "servers",
        )  # fmt: skip
    cli(
        "loadbalancer healthmonitor create",
        "--type",
        "HTTP",
        "--delay",
        1,
        "--timeout",
        1,
        "--max-retries",
        1,
        "servers",
    )
    cli.settled("lb")
    wait_for(lambda: set(answers(vip)) == {"one", "two"}, 10, "both members answer")

    cli("loadbalancer member set", "--weight", 0, "servers", "two")
    cli.settled("lb")
    wait_for(lambda: set(answers(vip)) == {"one"}, 10, "the first member alone answers")
    cli("loadbalancer member set", "--disable", "servers", "one")
    cli("loadbalancer member set", "--weight", 1, "servers", "two")
    cli.settled("lb")
    wait_for(lambda: set(answers(vip)) == {"two"}, 10, "the second member alone answers")

    def counted() -> bool:
        return bool(cli("loadbalancer stats show", "lb")["total_connections"] >= 8)

    wait_for(counted, 20, "heartbeats have brought what was counted")
    (amphora,) = cli("loadbalancer amphora list", "--loadbalancer", "lb")
    assert cli("loadbalancer amphora stats show", amphora["id"])["bytes_out"] > 0
    wait_for(lambda: statuses(cli) == {"one": "OFFLINE", "two": "ONLINE"}, 20, "statuses of the members")

    cli("loadbalancer failover", "lb")
    cli.settled("lb")
    wait_for(lambda: set(answers(vip, 2)) == {"two"}, 20, "the new amphora serves")
    (other,) = cli("loadbalancer amphora list", "--loadbalancer", "lb", "--status", "ALLOCATED")
    assert other["id"] != amphora["id"]
    cli("loadbalancer delete", "--cascade", "lb")
    cli.gone("/loadbalancers?name=lb")
    assert get(vip, timeout=1) == ""


def statuses(cli: Openstack) -> dict[str, str]:
    """Operating status of each member, from the tree."""
    tree = cli("loadbalancer status show", "lb")["loadbalancer"]
    (pool,) = tree["listeners"][0]["pools"]
    return {member["name"]: member["operating_status"] for member in pool["members"]}


def test_the_lines_of_the_documentation(this_machine: Machine, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "use-clients.md").read_text()
    for said, here in {
        "http://127.0.0.1:9876": this_machine.openstack.hydria.url,
        "10.213.64.1": this_machine.gateway,
        "8000": str(this_machine.ports[0]),
    }.items():
        page = page.replace(said, here)
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    outputs = []
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        command = {"sh": ["sh", "-ec", block], "python": [sys.executable, "-W", "ignore", "-c", block]}[
            language
        ]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (block, done.stderr, done.stdout)
        outputs.append(done.stdout)
    assert '"name":"by-curl"' in outputs[0]
    balancer = this_machine.openstack("loadbalancer show", "by-client")
    assert set(answers(balancer["vip_address"])) == {"one"}
    assert "hydria-vip-v4" in outputs[2]
    assert f"octavia-lb-{balancer['id']}" in outputs[2]
    assert "bytes_in" in outputs[3]
    this_machine.openstack("loadbalancer delete", "--cascade", "by-client")
    this_machine.openstack.gone("/loadbalancers")
