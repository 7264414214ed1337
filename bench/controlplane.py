"""The control plane alone: noop drivers, MariaDB, RabbitMQ, two API programs, one worker."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from tests import services

from bench import floor
from bench.measure import Client, cpu, report, spread, wait_for

PORTS = (19876, 19877)
LISTED = 1000


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        database = stack.enter_context(services.mariadb(durable=True))
        broker = stack.enter_context(services.rabbitmq())
        url = stack.enter_context(services.fresh_database(database))
        started = {
            name: stack.enter_context(program(directory, name, arguments, url, broker.url, port))
            for name, arguments, port in (
                ("worker", ["worker"], 0),
                ("api1", ["api"], PORTS[0]),
                ("api2", ["api"], PORTS[1]),
            )
        }
        bare, process = stack.enter_context(floor.api(url))
        floor.flows()
        balancer = measure(started, url)
        floor.shows(bare, process, balancer)
        floor.lists(bare, process)


def measure(started: dict[str, int], url: str) -> str:
    """All figures; the id of one of the load balancers that are there afterwards."""
    client, other = Client(PORTS[0]), Client(PORTS[1])
    questions = Questions(url)
    balancer = create(client)
    client.await_active(balancer)
    client.get_raw(f"/loadbalancers/{balancer}")

    before, many = cpu(started["api1"]), 2000
    for _ in range(many):
        client.get_raw(f"/loadbalancers/{balancer}")
    used = (cpu(started["api1"]) - before) / many
    report("GET a load balancer, API CPU", f"{used * 1000:.2f} ms", "1.0 ms (upstream 9.7)")
    with questions.counted() as counted:
        client.get_raw(f"/loadbalancers/{balancer}")
    report("GET a load balancer, SQL statements", str(counted.total), "2 (upstream 11)")

    times = []
    for _ in range(20):
        start = time.monotonic()
        made = create(client)
        client.await_active(made)
        times.append(time.monotonic() - start)
    report("create → ACTIVE", spread(times), "35 ms (upstream 344)")

    pool = add_pool(client, balancer)
    api, worker = cpu(started["api1"]) + cpu(started["api2"]), cpu(started["worker"])
    times = []
    for number in range(60):
        start = time.monotonic()
        (client, other)[number % 2].call("POST", f"/pools/{pool}/members", member(number))
        client.await_active(balancer)
        times.append(time.monotonic() - start)
    report("member add → ACTIVE", spread(times), "30 ms (upstream 267)")
    times = []
    api, worker = cpu(started["api1"]) + cpu(started["api2"]), cpu(started["worker"])
    for number in range(100, 160):
        other.call("POST", f"/pools/{pool}/members", member(number))
        time.sleep(0.06)  # each its own pass, and no polling in the figure
    used = cpu(started["api1"]) + cpu(started["api2"]) + cpu(started["worker"]) - api - worker
    report("POST member, controller CPU in all", f"{used / 60 * 1000:.1f} ms", "18 ms (upstream 260)")
    client.await_active(balancer)
    time.sleep(0.5)
    with questions.counted() as counted:
        other.call("POST", f"/pools/{pool}/members", member(900))
        time.sleep(0.5)
    report("POST member, SQL statements by API / worker", counted.by_user(), "6 / 15 (upstream 55 / 227)")

    times = []
    for _ in range(20):
        start = time.monotonic()
        made = client.call("POST", "/loadbalancers", {"loadbalancer": populated()})["loadbalancer"]["id"]
        client.await_active(made)
        times.append(time.monotonic() - start)
    report("fully populated with 10 members → ACTIVE", spread(times), "90 ms (upstream 885)")

    present = len(client.call("GET", "/loadbalancers")["loadbalancers"])
    for number in range(LISTED - present):
        create((client, other)[number % 2])
    wait_for(
        lambda: b"PENDING" not in client.get_raw("/loadbalancers?provisioning_status=PENDING_CREATE"),
        120,
        0.2,
    )
    client.get_raw("/loadbalancers")
    before, many = cpu(started["api1"]), 20
    for _ in range(many):
        size = len(client.get_raw("/loadbalancers"))
    used = (cpu(started["api1"]) - before) / many
    report(
        f"list of 1,000 load balancers ({size // 1000} kB), API CPU",
        f"{used * 1000:.1f} ms",
        "30 ms (upstream 590)",
    )
    return balancer


def create(client: Client) -> str:
    body = {"loadbalancer": {"name": "bench", "vip_subnet_id": str(uuid.uuid4())}}
    return str(client.call("POST", "/loadbalancers", body)["loadbalancer"]["id"])


def add_pool(client: Client, balancer: str) -> str:
    listener = {"protocol": "HTTP", "protocol_port": 80, "loadbalancer_id": balancer}
    listener_id = client.call("POST", "/listeners", {"listener": listener})["listener"]["id"]
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "listener_id": listener_id}
    pool_id = str(client.call("POST", "/pools", {"pool": pool})["pool"]["id"])
    client.await_active(balancer)
    return pool_id


def member(number: int) -> dict[str, object]:
    return {"member": {"address": f"192.0.2.{number % 250 + 1}", "protocol_port": 1000 + number}}


def populated() -> dict[str, object]:
    members = [{"address": f"192.0.2.{number + 1}", "protocol_port": 80} for number in range(10)]
    pool = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members,
        "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    }  # fmt: skip
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    return {"name": "bench", "vip_subnet_id": str(uuid.uuid4()), "listeners": [listener]}


@contextmanager
def program(
    directory: Path, name: str, arguments: list[str], database: str, broker: str, port: int
) -> Iterator[int]:
    """One controller program with noop drivers; its process id."""
    config = directory / f"{name}.conf"
    # The server counts statements by database user, so each program has its own.
    user = "worker" if name == "worker" else "api"
    config.write_text(
        f"""[DEFAULT]
state_dir = {directory}
transport_url = {broker}
[database]
connection = {grant(database, user)}
[api_settings]
bind_port = {port or 9876}
[health_manager]
bind_ip = 127.0.0.1
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
"""
    )
    hydria = [sys.executable, "-W", "ignore", "-m", "hydria.cli"]
    subprocess.run(
        [*hydria, "db", "upgrade", "--config-file", str(config)], check=True, stdout=subprocess.DEVNULL
    )
    with (directory / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [*hydria, *arguments, "--config-file", str(config)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: "is running" in (directory / f"{name}.log").read_text(), 30, 0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def grant(database: str, user: str) -> str:
    """The same database as a user of its own."""
    url = sa.make_url(database)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{user}'"))
        connection.execute(sa.text(f"CREATE USER IF NOT EXISTS '{user}'@'localhost' IDENTIFIED BY '{user}'"))
        for host in ("%", "localhost"):
            connection.execute(sa.text(f"GRANT ALL ON `{url.database}`.* TO '{user}'@'{host}'"))
    engine.dispose()
    return url.set(username=user, password=user).render_as_string(hide_password=False)


class Questions:
    """Statements that the server runs, by user, from its general log."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")

    @contextmanager
    def counted(self) -> Iterator[Counted]:
        counted = Counted()
        with self._engine.connect() as connection:
            for statement in (
                "SET GLOBAL log_output='TABLE'",
                "TRUNCATE mysql.general_log",
                "SET GLOBAL general_log=1",
            ):
                connection.execute(sa.text(statement))
            yield counted
            connection.execute(sa.text("SET GLOBAL general_log=0"))
            rows = connection.execute(
                sa.text(
                    "SELECT user_host, argument FROM mysql.general_log"
                    " WHERE command_type IN ('Query', 'Execute')"
                )
            )
            for user, statement in rows:
                text = statement.decode() if isinstance(statement, bytes) else statement
                if text.split()[0].upper() in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
                    counted.add(str(user).partition("[")[0], text)


class Counted:
    """Data statements by user, without BEGIN, COMMIT and the like, nor the worker's looks for work."""

    def __init__(self) -> None:
        self.statements: dict[str, list[str]] = {}

    def add(self, user: str, statement: str) -> None:
        if "JOIN leases" not in statement and user in ("api", "worker"):
            self.statements.setdefault(user, []).append(statement)

    @property
    def total(self) -> int:
        return sum(len(statements) for statements in self.statements.values())

    def by_user(self) -> str:
        return f"{len(self.statements.get('api', []))} / {len(self.statements.get('worker', []))}"
