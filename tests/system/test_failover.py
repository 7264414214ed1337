"""Failover that somebody asks for: traffic goes on through another amphora."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.deployment import Deployment, Traffic, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("failover")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.223", embedded=True)) as running:
        yield running


@pytest.fixture
def balancer(machine: Deployment) -> Iterator[dict[str, Any]]:
    with web_server(machine.gateway) as port:
        made = machine.order([port])
        machine.await_status(made["id"])
        wait_for(lambda: get(made["vip_address"]), 10, "it serves")
        yield made
        machine.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        wait_for(lambda: not machine.namespaces(), 30, "nothing is left of it")


def amphora(machine: Deployment, balancer: dict[str, Any]) -> dict[str, Any]:
    """The one that serves."""
    found = machine.operate("GET", f"/amphorae?loadbalancer_id={balancer['id']}&status=ALLOCATED")
    (shown,) = found["amphorae"]
    return dict(shown)


@pytest.mark.parametrize("asked", ["amphora", "load balancer"])
def test_traffic_goes_on_through_another_amphora(
    machine: Deployment, balancer: dict[str, Any], asked: str
) -> None:
    old = amphora(machine, balancer)
    assert machine.namespaces() == {old["compute_id"]}
    with Traffic(balancer["vip_address"]) as traffic:
        wait_for(lambda: traffic.answered > 5, 10, "there is traffic")
        if asked == "amphora":
            machine.operate("PUT", f"/amphorae/{old['id']}/failover")
        else:
            machine.call("PUT", f"/loadbalancers/{balancer['id']}/failover")
        wait_for(lambda: old["compute_id"] not in machine.namespaces(), 30, "the old one is gone")
        machine.await_status(balancer["id"])
        answered = traffic.answered
        wait_for(lambda: traffic.answered > answered + 5, 10, "there is traffic again")
    new = amphora(machine, balancer)
    assert new["id"] != old["id"]
    assert machine.namespaces() == {new["compute_id"]}
    assert machine.request("GET", f"/amphorae/{old['id']}", root="/v2/octavia").status == 404
    # What was under way through the old one when the address moved.
    assert len(traffic.failed) <= 1, traffic.failed


def test_failover_of_one_that_does_not_answer(machine: Deployment, balancer: dict[str, Any]) -> None:
    old = amphora(machine, balancer)
    for process in machine.processes_of(old["compute_id"]):
        os.kill(process, signal.SIGSTOP)
    machine.operate("PUT", f"/amphorae/{old['id']}/failover")
    wait_for(lambda: old["compute_id"] not in machine.namespaces(), 60, "the old one is gone")
    wait_for(lambda: get(balancer["vip_address"]), 10, "it serves again")
    assert amphora(machine, balancer)["id"] != old["id"]


def test_an_agent_is_told_anew_where_heartbeats_go(machine: Deployment, balancer: dict[str, Any]) -> None:
    serving = amphora(machine, balancer)
    assert "every 0.5 s" not in machine.agent_log(serving["id"])
    machine.stop()
    machine.options = "[health_manager]\nheartbeat_interval = 0.5\n"
    machine.write_config()
    machine.start()
    machine.operate("PUT", f"/amphorae/{serving['id']}/config")
    wait_for(lambda: "every 0.5 s" in machine.agent_log(serving["id"]), 20, "it is told")
    machine.await_status(balancer["id"])
    assert amphora(machine, balancer)["id"] == serving["id"]

    def statistics() -> Any:
        answer = machine.request("GET", f"/amphorae/{serving['id']}/stats", root="/v2/octavia")
        return answer.body["amphora_stats"] if answer.status == 200 else None

    counted = wait_for(statistics, 10, "heartbeats are heard")
    assert {entry["loadbalancer_id"] for entry in counted} == {balancer["id"]}
    assert {entry["id"] for entry in counted} == {serving["id"]}


def test_an_amphora_that_has_lost_its_state_is_configured_again(
    machine: Deployment, balancer: dict[str, Any]
) -> None:
    """As after a reboot with an emptied disk: it answers and sends heartbeats, but serves nothing."""
    serving = amphora(machine, balancer)
    wait_for(lambda: get(balancer["vip_address"]), 10, "it serves")
    (state,) = (machine.state_dir / "amphorae" / serving["id"]).rglob("state")
    state.unlink()
    # The root part, the first of them, starts another agent, which knows what is on disk alone.
    _, *others = sorted(machine.processes_of(serving["compute_id"]))
    for process in others:
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: "is configured again" in machine.log("all"), 30, "it is noticed")
    wait_for(lambda: get(balancer["vip_address"]), 30, "it serves again")
    machine.await_status(balancer["id"])
    assert amphora(machine, balancer)["id"] == serving["id"]
    machine.await_status(balancer["id"], "ONLINE", "operating_status")
