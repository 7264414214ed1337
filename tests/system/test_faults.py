"""Programs killed, the broker and the database away: nothing is stuck, lost or left behind, and traffic flows on."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import services
from tests.system.deployment import PROGRAMS, Deployment, Traffic, deployed, get, wait_for, web_server

pytestmark = pytest.mark.system
KILLS = int(os.environ.get("HYDRIA_KILLS", "20"))
OUTAGE = float(os.environ.get("HYDRIA_OUTAGE", "30"))


@pytest.fixture(scope="module")
def database_url(mariadb: services.Service) -> Iterator[str]:
    with services.fresh_database(mariadb) as url:
        yield url


@pytest.fixture(scope="module")
def deployment(
    database_url: str, rabbitmq: services.Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("deployment")
    directory.chmod(0o755)
    options = f"[DEFAULT]\ntransport_url = {rabbitmq.url}\n[database]\nconnection = {database_url}\n"
    with deployed(Deployment(directory, "10.215", options)) as running:
        yield running


@pytest.fixture(scope="module")
def member(deployment: Deployment) -> Iterator[int]:
    with web_server(deployment.gateway) as port:
        yield port


@pytest.fixture
def steady(deployment: Deployment, member: int) -> Iterator[Traffic]:
    """A finished load balancer whose traffic must never stop."""
    made = deployment.order([member], "steady")
    deployment.await_status(made["id"])
    wait_for(lambda: get(made["vip_address"]), 10, "the steady load balancer serves")
    with Traffic(made["vip_address"]) as traffic:
        yield traffic
    deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    wait_for(
        lambda: deployment.request("GET", f"/loadbalancers/{made['id']}").status == 404,
        60,
        "steady is deleted",
    )


def owned_namespaces(deployment: Deployment, database_url: str) -> set[str]:
    """The namespaces that rows of amphorae speak of."""
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT compute_id FROM amphorae WHERE status = 'ALLOCATED'"))
        owned = {row[0] for row in rows}
    engine.dispose()
    return owned


def work(deployment: Deployment, member: int, stopped: threading.Event) -> None:
    """Create, change and delete load balancers, whatever the API answers meanwhile."""
    while not stopped.is_set():
        try:
            made = deployment.order([member], "busy")
            pool = made["pools"][0]["id"] if made["pools"] else made["listeners"][0]["default_pool_id"]
            body = {"member": {"address": deployment.gateway, "protocol_port": 1 + member % 60000}}
            deployment.request("POST", f"/pools/{pool}/members", body, timeout=5)
            time.sleep(random.random() * 0.2)
            deployment.request("DELETE", f"/loadbalancers/{made['id']}?cascade=true", timeout=5)
        except (OSError, AssertionError):
            time.sleep(0.05)  # the API itself was killed, or said 503


def test_kill_any_program_at_any_moment(
    deployment: Deployment, database_url: str, member: int, steady: Traffic
) -> None:
    chosen = random.Random(os.environ.get("HYDRIA_SEED", "hydria"))
    for number in range(KILLS):
        victim = PROGRAMS[number % len(PROGRAMS)]
        stopped = threading.Event()
        worker = threading.Thread(target=work, args=(deployment, member, stopped))
        worker.start()
        time.sleep(chosen.random() * 0.6)
        deployment.kill(victim)
        stopped.set()
        worker.join(30)
        deployment.start(victim)
    for balancer in deployment.call("GET", "/loadbalancers?name=busy")["loadbalancers"]:
        deployment.request("DELETE", f"/loadbalancers/{balancer['id']}?cascade=true")
    wait_for(lambda: not deployment.pending(), 60, "nothing is PENDING any more")
    wait_for(
        lambda: len(deployment.call("GET", "/loadbalancers")["loadbalancers"]) == 1,
        60,
        "only the steady one is left",
    )
    owned = owned_namespaces(deployment, database_url)
    wait_for(
        lambda: deployment.namespaces() == owned, 30, f"only {owned} is left of {deployment.namespaces()}"
    )
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    bridge = f"hy{deployment.instance}"
    enslaved = [line for line in links.splitlines() if f"master {bridge}" in line]
    assert len(enslaved) == 2 * len(owned), enslaved
    assert not steady.failed, f"{steady.failed} of {steady.answered} requests failed"
    assert steady.answered > 100


def test_the_broker_is_away(
    deployment: Deployment, rabbitmq: services.Service, member: int, steady: Traffic
) -> None:
    before = deployment.namespaces()
    rabbitmq.stop()
    try:
        started = time.monotonic()
        made = deployment.order([member], "brokerless")
        deployment.await_status(made["id"])
        assert get(made["vip_address"])
        time.sleep(max(0.0, OUTAGE - (time.monotonic() - started)))
        assert before < deployment.namespaces()
    finally:
        rabbitmq.start()
    deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    wait_for(lambda: deployment.namespaces() == before, 30, "the load balancer is gone")
    assert not steady.failed


def test_the_database_is_away(
    deployment: Deployment, mariadb: services.Service, member: int, steady: Traffic
) -> None:
    made = deployment.order([member], "kept")
    deployment.await_status(made["id"])
    before = deployment.namespaces()
    mariadb.stop()
    try:
        started = time.monotonic()
        while time.monotonic() - started < OUTAGE:
            answer = deployment.request("GET", "/loadbalancers")
            assert answer.status == 503, answer
            assert "database" in answer.body["faultstring"]
            time.sleep(1)
    finally:
        mariadb.start()
    wait_for(lambda: deployment.request("GET", "/loadbalancers").status == 200, 10, "the API answers again")
    body = {"member": {"address": deployment.gateway, "protocol_port": 9}}
    pool = deployment.show(made["id"])["pools"][0]["id"]
    deployment.call("POST", f"/pools/{pool}/members", body)
    deployment.await_status(made["id"])
    time.sleep(6)  # longer than heartbeat_timeout: whoever was going to be failed over would be by now
    assert deployment.namespaces() == before, "no amphora was replaced"
    assert not steady.failed
    deployment.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
