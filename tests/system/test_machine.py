"""``hydria all`` on one machine: adoption, replacement, clean-up, refusals, and the openstack client."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.deployment import HYDRIA, Deployment, Traffic, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system
OPENSTACK = Path(sys.executable).with_name("openstack")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("machine")
    directory.chmod(0o755)
    hook = Path(tempfile.mkdtemp(prefix="hydria-hook-", dir="/var/lib"))  # an amphora sees nothing of /tmp
    hook.chmod(0o755)
    refusing = hook / "haproxy"
    # The test hook: HAProxy refuses every configuration while the file "refuse" exists.
    refusing.write_text(
        "#!/bin/sh\n"
        f'for word in "$@"; do [ "$word" = -f ] && [ -e {hook}/refuse ] && '
        '{ echo "[ALERT] refused by the test" >&2; exit 1; }; done\n'
        f'exec {shutil.which("haproxy") or "/usr/sbin/haproxy"} "$@"\n'
    )
    refusing.chmod(0o755)
    options = f"[haproxy_amphora]\nhaproxy_cmd = {refusing}\nhard_stop_after = 5\n"
    try:
        with deployed(Deployment(directory, "10.216", options, embedded=True)) as running:
            running.hook = hook / "refuse"
            yield running
    finally:
        shutil.rmtree(hook)


@pytest.fixture(scope="module")
def member(machine: Deployment) -> Iterator[int]:
    with web_server(machine.gateway) as port:
        yield port


@pytest.fixture
def balancer(machine: Deployment, member: int) -> Iterator[dict[str, str]]:
    made = machine.order([member])
    machine.await_status(made["id"])
    wait_for(lambda: get(made["vip_address"]), 10, "it serves")
    yield made
    if machine.request("GET", f"/loadbalancers/{made['id']}").status == 200:
        machine.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        wait_for(
            lambda: machine.request("GET", f"/loadbalancers/{made['id']}").status == 404, 30, "it is deleted"
        )


def host_state() -> dict[str, str]:
    """What Hydria may change on a host and must put back."""

    def run(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return {
        "links": "\n".join(sorted(line.split(":")[1] for line in run("ip", "-o", "link").splitlines())),
        # Not whether links are up just now: that of another deployment's bridges comes and goes with its amphorae.
        "addresses": "\n".join(
            " ".join(word for word in line.split() if "/" in word and not word.startswith("fe80:"))
            for line in run("ip", "-o", "address").splitlines()
        ),
        "routes": "\n".join(
            line.replace(" linkdown", "")
            for line in (run("ip", "route") + run("ip", "-6", "route")).splitlines()
            if not line.startswith("fe80:")
        ),
        "namespaces": run("ip", "netns", "list"),
        "rules": run("nft", "list", "tables"),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text()
        + Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text(),
        "agents": "\n".join(
            path.read_bytes().replace(b"\0", b" ").decode()
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if b"hydria.amphora" in _bytes(path)
        ),
    }


def state_before() -> dict[str, str]:
    """The same, once the kernel has removed the links of amphorae that tests before have ended."""

    def settled() -> dict[str, str] | None:
        state = host_state()
        return state if state["namespaces"] or "@if" not in state["links"] else None

    found: dict[str, str] = wait_for(settled, 10, "links of amphorae that are gone are gone")
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_controllers_come_and_go_and_traffic_stays(
    machine: Deployment, balancer: dict[str, str], number: int
) -> None:
    before = machine.namespaces()
    processes = {process for name in before for process in machine.processes_of(name)}
    with Traffic(balancer["vip_address"]) as traffic:
        machine.processes["all"].send_signal(number)
        machine.processes["all"].wait(20)
        time.sleep(1)
        machine.start("all")
        machine.await_status(balancer["id"])
        machine.await_status(balancer["id"], "ONLINE", "operating_status", 10)
    assert not traffic.failed
    assert traffic.answered > 20
    assert machine.namespaces() == before
    assert {process for name in before for process in machine.processes_of(name)} == processes


def test_a_dead_amphora_is_replaced(machine: Deployment, balancer: dict[str, str]) -> None:
    (before,) = machine.namespaces()
    for process in machine.processes_of(before):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_for(lambda: not get(balancer["vip_address"], 0.3), 15, "the dead one does not answer")
    started = time.monotonic()
    wait_for(lambda: get(balancer["vip_address"], 0.3), 30, "traffic flows again")
    assert time.monotonic() - started < 30
    machine.await_status(balancer["id"])
    assert before not in wait_for(machine.namespaces, 15, "there is an amphora")


def test_an_agent_killed_alone_costs_nothing(machine: Deployment, balancer: dict[str, str]) -> None:
    (namespace,) = machine.namespaces()
    agents = [
        process for process, name in machine.processes_of(namespace).items() if name.startswith("python")
    ]
    unprivileged = [process for process in agents if Path(f"/proc/{process}").stat().st_uid != 0]
    assert unprivileged, "the agent runs as a user of its own"
    with Traffic(balancer["vip_address"]) as traffic:
        os.kill(unprivileged[-1], signal.SIGKILL)
        time.sleep(2)
        pool = machine.show(balancer["id"])["pools"][0]["id"]
        machine.call(
            "POST", f"/pools/{pool}/members", {"member": {"address": machine.gateway, "protocol_port": 9}}
        )
        machine.await_status(balancer["id"])
    assert not traffic.failed
    assert machine.namespaces() == {namespace}


def test_a_refused_configuration_keeps_the_old_one_serving(
    machine: Deployment, balancer: dict[str, str]
) -> None:
    assert machine.hook
    machine.hook.touch()
    try:
        with Traffic(balancer["vip_address"]) as traffic:
            listener = {"loadbalancer_id": balancer["id"], "protocol": "HTTP", "protocol_port": 8080}
            made = machine.call("POST", "/listeners", {"listener": listener})["listener"]
            machine.await_status(balancer["id"], "ERROR", seconds=20)
            assert (
                machine.call("GET", f"/listeners/{made['id']}")["listener"]["provisioning_status"] == "ERROR"
            )
            assert "refused by the test" in machine.log("all")
    finally:
        machine.hook.unlink()
    assert not traffic.failed
    machine.call("PUT", f"/listeners/{made['id']}", {"listener": {"name": "good"}})
    machine.await_status(balancer["id"])
    assert machine.call("GET", f"/listeners/{made['id']}")["listener"]["provisioning_status"] == "ACTIVE"


def test_a_refused_first_configuration_is_tried_again_in_the_same_amphora(
    machine: Deployment, member: int
) -> None:
    assert machine.hook
    before = machine.namespaces()
    machine.hook.touch()
    try:
        made = machine.order([member], "refused")
        machine.await_status(made["id"], "ERROR", seconds=20)
        (namespace,) = machine.namespaces() - before
        wait_for(
            lambda: len(re.findall(f"{made['id']}: create .* failed \\(try", machine.log("all"))) >= 3,
            20,
            "it is tried again",
        )
        assert machine.namespaces() - before == {namespace}
    finally:
        machine.hook.unlink()
    machine.await_status(made["id"], seconds=20)
    wait_for(lambda: get(made["vip_address"]), 15, "it serves")
    assert machine.namespaces() - before == {namespace}
    machine.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    wait_for(lambda: machine.namespaces() == before, 20, "it is deleted")


def test_statuses_and_statistics_arrive_within_two_heartbeats(
    machine: Deployment, balancer: dict[str, str]
) -> None:
    machine.await_status(balancer["id"], "ONLINE", "operating_status", 10)
    listener = machine.show(balancer["id"])["listeners"][0]["id"]
    for _ in range(10):
        assert get(balancer["vip_address"])
    sent = time.monotonic()
    wait_for(
        lambda: machine.call("GET", f"/listeners/{listener}/stats")["stats"]["total_connections"] >= 10,
        5,
        "counted",
    )
    assert time.monotonic() - sent < 2.5
    pool = machine.show(balancer["id"])["pools"][0]["id"]
    (only,) = machine.call("GET", f"/pools/{pool}/members")["members"]
    assert only["operating_status"] == "ONLINE"
    machine.call("PUT", f"/pools/{pool}/members/{only['id']}", {"member": {"admin_state_up": False}})
    wait_for(
        lambda: machine.call("GET", f"/pools/{pool}/members")["members"][0]["operating_status"] == "OFFLINE",
        5,
        "a disabled member is OFFLINE",
    )


def test_cleanup_after_kill_9_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = state_before()
    deployment = Deployment(tmp_path, "10.217", embedded=True)
    deployment.write_config()
    try:
        deployment.start()
        with web_server(deployment.gateway) as port:
            made = deployment.order([port])
            deployment.await_status(made["id"])
            wait_for(lambda: get(made["vip_address"]), 10, "it serves")
            deployment.kill("all")
            assert get(made["vip_address"])
    finally:
        deployment.stop()
        deployment.cleanup()
    assert host_state() == before


def test_what_was_cleaned_up_is_built_again_at_the_next_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    deployment = Deployment(tmp_path, "10.219", embedded=True)
    deployment.write_config()
    try:
        deployment.start()
        made = deployment.order([9])
        deployment.await_status(made["id"])
        deployment.stop()
        deployment.cleanup()
        deployment.start()
        with web_server(deployment.gateway) as port:
            pool = deployment.show(made["id"])["pools"][0]["id"]
            body = {"member": {"address": deployment.gateway, "protocol_port": port}}
            deployment.call("POST", f"/pools/{pool}/members", body)
            wait_for(lambda: get(made["vip_address"], 0.3), 30, "it serves again")
            deployment.await_status(made["id"])
        taken = {"loadbalancer": {"vip_address": made["vip_address"]}}
        assert deployment.request("POST", "/loadbalancers", taken).status == 409
    finally:
        deployment.stop()
        deployment.cleanup()


def test_ephemeral_takes_everything_down(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = state_before()
    deployment = Deployment(tmp_path, "10.218", embedded=True)
    deployment.write_config()
    log = tmp_path / "all.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*HYDRIA, "all", "--ephemeral", "--config-file", str(deployment.config)],
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(
            lambda: "Hydria serves" in log.read_text() or process.poll() is not None, 30, log.read_text()
        )
        made = deployment.order([9])
        deployment.await_status(made["id"])
        process.terminate()
        assert process.wait(30) == 0
        assert host_state() == before
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        deployment.cleanup()


def test_a_second_one_on_the_same_directory_is_refused(machine: Deployment) -> None:
    second = subprocess.run(
        [*HYDRIA, "all", "--config-file", str(machine.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "Another 'hydria all' is running" in second.stderr


def test_an_address_range_of_the_host_is_refused(machine: Deployment, tmp_path: Path) -> None:
    colliding = Deployment(tmp_path, "10.216", embedded=True)
    colliding.write_config()
    result = subprocess.run(
        [*HYDRIA, "all", "--config-file", str(colliding.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert "10.216.0.0/24" in result.stderr
    assert "lb_network_cidr" in result.stderr


def openstack(machine: Deployment, *command: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "OS_AUTH_TYPE": "none",
        "OS_ENDPOINT": f"http://127.0.0.1:{machine.port}",
    }
    done = subprocess.run(
        [str(OPENSTACK), "loadbalancer", *command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_openstack_client_works_without_identity(machine: Deployment, balancer: dict[str, str]) -> None:
    listed = json.loads(openstack(machine, "list", "-f", "json"))
    assert balancer["id"] in {row["id"] for row in listed}
    shown = json.loads(openstack(machine, "show", "lb", "-f", "json"))
    assert shown["provisioning_status"] == "ACTIVE"
    assert shown["vip_address"] == balancer["vip_address"]
    openstack(
        machine, "member", "create", "--address", machine.gateway, "--protocol-port", "9", "--wait", "p"
    )
    members = json.loads(openstack(machine, "member", "list", "p", "-f", "json"))
    assert len(members) == 2
    assert "listeners" in openstack(machine, "status", "show", "lb")
    assert json.loads(openstack(machine, "stats", "show", "lb", "-f", "json"))["request_errors"] == 0
    openstack(machine, "delete", "--cascade", "--wait", "lb")
    assert machine.request("GET", f"/loadbalancers/{balancer['id']}").status == 404


def test_the_openstack_client_orders_piece_by_piece(machine: Deployment, member: int) -> None:
    openstack(machine, "create", "--name", "lb2", "--vip-subnet-id", "hydria-vip-v4", "--wait")
    openstack(
        machine,
        "listener",
        "create",
        "--name",
        "tcp",
        "--protocol",
        "TCP",
        "--protocol-port",
        "80",
        "--wait",
        "lb2",
    )
    algorithm = ["--protocol", "TCP", "--lb-algorithm", "LEAST_CONNECTIONS"]
    openstack(machine, "pool", "create", "--name", "servers", *algorithm, "--listener", "tcp", "--wait")
    port = str(member)
    openstack(
        machine,
        "member",
        "create",
        "--address",
        machine.gateway,
        "--protocol-port",
        port,
        "--wait",
        "servers",
    )
    probe = ["--type", "TCP", "--delay", "1", "--timeout", "1", "--max-retries", "1"]
    openstack(machine, "healthmonitor", "create", *probe, "--wait", "servers")
    shown = json.loads(openstack(machine, "show", "lb2", "-f", "json"))
    wait_for(lambda: get(shown["vip_address"]), 15, "it serves")
    openstack(machine, "delete", "--cascade", "--wait", "lb2")
