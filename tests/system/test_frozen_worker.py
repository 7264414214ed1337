"""A worker that stands still for longer than its lease lasts, and then goes on: its successor's work stands."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.system.deployment import HYDRIA, Deployment, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system
ROUNDS = 4


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("frozen")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.222", "[controller_worker]\nlease_seconds = 1.5\n")) as running:
        yield running


# A worker that waits, before it has an amphora prepared without the VIP, as long as there is a certain file.
HESITATES = """
import sys, time
from pathlib import Path
from hydria import cli
from hydria.drivers.amphora.rest import RestAmphoraDriver
apply, wait = RestAmphoraDriver.apply, Path(sys.argv[1])
def hesitate(driver, amphora, state):
    if wait.exists() and not state.interfaces[0].vips:
        wait.with_name("hesitates").touch()
        while wait.exists():
            time.sleep(0.01)
    return apply(driver, amphora, state)
RestAmphoraDriver.apply = hesitate
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture
def second(deployment: Deployment) -> Iterator[subprocess.Popen[bytes]]:
    """Another worker on the same host."""
    with another(deployment, "second", HYDRIA) as process:
        yield process


@contextmanager
def another(deployment: Deployment, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (deployment.state_dir / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "worker", "--config-file", str(deployment.config)], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: "is running" in deployment.log(name), 30, "the other worker runs")
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)


def holder(deployment: Deployment) -> int:
    """The worker that is in the middle of a pass; 0 when none is."""
    with closing(sqlite3.connect(deployment.state_dir / "hydria.db")) as database:
        found = database.execute("SELECT owner FROM leases WHERE owner IS NOT NULL").fetchone()
    return int(found[0].split(".")[-2]) if found else 0


def await_holder(deployment: Deployment) -> int:
    found: int = wait_for(lambda: holder(deployment), 15, "one has begun", pause=0.002)
    return found


def freeze(deployment: Deployment, process: int) -> None:
    """Stop a process, but not while it holds a lock of the host's or a transaction: all others would wait."""
    while True:
        os.kill(process, signal.SIGSTOP)
        wait_for(lambda: stands_still(process), 15, "it stands still", pause=0.001)
        if unlocked(deployment):
            return
        os.kill(process, signal.SIGCONT)
        time.sleep(0.002)


def stands_still(process: int) -> bool:
    """Every thread of it: each stops when it gets to hear of the signal."""
    states = [
        path.read_text().rpartition(")")[2].split()[0]
        for path in Path(f"/proc/{process}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def unlocked(deployment: Deployment) -> bool:
    directory = deployment.state_dir
    try:
        for path in (directory / "network", directory / "ca", *(directory / "locks").glob("*")):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)
        with closing(sqlite3.connect(directory / "hydria.db", timeout=0.05)) as database:
            database.execute("BEGIN IMMEDIATE")
    except (FileNotFoundError, BlockingIOError, sqlite3.OperationalError):
        return False
    return True


@pytest.mark.usefixtures("second")
def test_a_frozen_worker_does_no_harm_when_it_thaws(deployment: Deployment) -> None:
    chosen = random.Random(os.environ.get("HYDRIA_SEED", "hydria"))
    with web_server(deployment.gateway) as port:
        for _ in range(ROUNDS):
            begun: list[int] = []
            watch = threading.Thread(target=lambda begun=begun: begun.append(await_holder(deployment)))
            watch.start()
            made = deployment.order([port])
            watch.join()
            (victim,) = begun
            time.sleep(chosen.random() * 0.15)
            freeze(deployment, victim)
            try:
                deployment.await_status(made["id"], seconds=15)
            finally:
                os.kill(victim, signal.SIGCONT)
            time.sleep(0.4)  # for it to do what it had in mind
            assert deployment.show(made["id"])["provisioning_status"] == "ACTIVE"
            assert get(made["vip_address"])
            pool = deployment.show(made["id"])["pools"][0]["id"]
            body = {"member": {"address": deployment.gateway, "protocol_port": 9}}
            deployment.call("POST", f"/pools/{pool}/members", body)
            deployment.await_status(made["id"])
            deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
            wait_for(
                lambda made=made: deployment.request("GET", f"/loadbalancers/{made['id']}").status == 404,
                20,
                "it is deleted",
            )
            assert not deployment.namespaces(), "nothing is left of it"
    log = deployment.log("worker") + deployment.log("second")
    assert "has run out" in log
    assert "Traceback" not in log


def test_a_worker_that_thaws_before_it_prepares_an_amphora_does_not_take_its_vip(
    deployment: Deployment,
) -> None:
    """Its successor has commissioned the same amphora meanwhile, at the same generation."""
    wait = deployment.state_dir / "wait"
    ours = deployment.processes["worker"].pid
    command = [sys.executable, "-W", "ignore", "-c", HESITATES, str(wait)]
    with web_server(deployment.gateway) as port, another(deployment, "third", command) as third:
        made = deployment.order([port])
        deployment.await_status(made["id"])
        wait.touch()
        freeze(deployment, ours)
        try:
            deployment.call("PUT", f"/loadbalancers/{made['id']}/failover")
            wait_for((wait.with_name("hesitates")).exists, 30, "the third prepares an amphora")
            freeze(deployment, third.pid)
        finally:
            os.kill(ours, signal.SIGCONT)
        deployment.await_status(made["id"], seconds=30)
        assert get(made["vip_address"])
        wait.unlink()
        os.kill(third.pid, signal.SIGCONT)
        wait_for(lambda: "has run out" in deployment.log("third"), 30, "the third has ended its pass")
        for _ in range(10):
            assert get(made["vip_address"])
            time.sleep(0.05)
        deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    assert "Traceback" not in deployment.log("third")
