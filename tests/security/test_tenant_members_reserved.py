"""The attacker is a tenant of a whole deployment, whose operator has reserved networks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.driver_lab import shell
from tests.system.deployment import HYDRIA, Answer, Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system

_RESERVED = "[networking]\nreserved_ips = 203.0.113.0/24,169.254.0.0/16\n"


def test_reserved_networks_are_closed_to_new_members_and_old_ones_can_go(tmp_path: Path) -> None:
    with (
        deployed(Deployment(tmp_path, "10.227", embedded=True)) as deployment,
        web_server(deployment.gateway) as port,
    ):
        old = deployment.order([port])
        deployment.await_status(old["id"])
        pool = old["pools"][0]["id"]
        path = f"/pools/{pool}/members"
        member = _add(deployment, path, "203.0.113.5").body["member"]["id"]
        deployment.await_status(old["id"])
        deployment.stop()
        deployment.options = _RESERVED
        deployment.write_config()
        deployment.start()
        refused = {
            "203.0.113.6": "203.0.113.6 is not a valid option for member address",
            f"{deployment.cidr}.0.9": "it is the deployment's own",
            f"{deployment.cidr}.0.1": "it is the deployment's own",
        }
        for address, words in refused.items():
            answer = _add(deployment, path, address)
            assert (answer.status, words in answer.body["faultstring"]) == (400, True), answer
        # The old one can be changed and goes.
        deployment.call("PUT", f"{path}/{member}", {"member": {"weight": 5}})
        deployment.await_status(old["id"])
        deployment.call("DELETE", f"{path}/{member}")
        deployment.await_status(old["id"])
        # Who is born now drops it all, serves, and is heard of.
        before = deployment.namespaces()
        new = deployment.order([port], name="new")
        deployment.await_status(new["id"])
        (name,) = deployment.namespaces() - before
        rules = shell(f"ip netns exec {name} nft list table inet hydria_closed")
        for network in ("203.0.113.0/24", "169.254.0.0/16", f"{deployment.cidr}.0.0/24"):
            assert network in rules
        wait_for(lambda: get(new["vip_address"]) == "ok", 5, "it serves")
        deployment.await_status(new["id"], "ONLINE", "operating_status", 20)
        checked = _status(deployment)
        assert (checked.returncode, checked.stdout.strip()) == (0, "ok"), checked.stdout
        shell(f"nft delete table bridge hydria_{deployment.instance}")
        assert "may send from any address" in _status(deployment).stdout


def _add(deployment: Deployment, path: str, address: str) -> Answer:
    return deployment.request("POST", path, {"member": {"address": address, "protocol_port": 80}})


def _status(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HYDRIA, "status", "check", "--config-file", str(deployment.config)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
