"""The control plane alone: noop drivers, MariaDB, RabbitMQ, two API programs, one worker."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from tests import services

from bench import floor
from bench.floor import Floor
from bench.measure import Client, cpu_seconds, report, spread, used_by, wait_for

PORTS = (19876, 19877)
LISTED = 1000
RUNS = 20


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        database = stack.enter_context(services.mariadb(durable=True))
        broker = stack.enter_context(services.rabbitmq())
        usual = stack.enter_context(services.fresh_database(database))
        # The bare application stays with the driver that goals were set with.
        url = usual.replace("mysql+pymysql", f"mysql+{os.environ.get('DRIVER', 'mysqldb')}")
        started = {
            name: stack.enter_context(program(directory, name, arguments, url, broker.url, port))
            for name, arguments, port in (
                ("worker", ["worker"], 0),
                ("api1", ["api"], PORTS[0]),
                ("api2", ["api"], PORTS[1]),
            )
        }
        bare, process = stack.enter_context(floor.api(usual))
        balancer = create(Client(PORTS[0]))
        Client(PORTS[0]).await_active(balancer)
        floors = floor.flows(), floor.shows(bare, process, balancer)
        run = Run(started, Questions(url), balancer, floors, floor.lists(bare, process))
        run.shows_one()
        run.creates()
        run.adds_members()
        run.creates_populated()
        run.lists()
        for one in (*floors, run.bare_list):
            one.report()


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of running programs (names and their processes), in turns with the least that is possible."""

    started: dict[str, int]
    questions: Questions
    balancer: str
    floors: tuple[Floor, Floor]
    bare_list: Floor
    client: Client = field(default_factory=lambda: Client(PORTS[0]))
    other: Client = field(default_factory=lambda: Client(PORTS[1]))

    def shows_one(self) -> None:
        """GET of a load balancer."""
        used, bare = [], self.floors[1]
        for _ in range(RUNS):
            used.append(used_by(self.started["api1"], self._get, 100))
            bare.run()
        _beside("GET a load balancer, API CPU", used, bare, "1.0 ms, 1.28 times (upstream 9.7 ms)")
        with self.questions.counted() as counted:
            self._get()
        report("GET a load balancer, SQL statements", str(counted.total), "2 (upstream 11)")

    def _get(self) -> None:
        self.client.get_raw(f"/loadbalancers/{self.balancer}")

    def creates(self) -> None:
        """A load balancer with nothing on it, until it is ACTIVE."""
        self._timed("create → ACTIVE", lambda _: create(self.client), 35, 344)

    def creates_populated(self) -> None:
        """A load balancer with a listener, a pool, ten members and a monitor, in one request."""

        def order(_number: int) -> str:
            made = self.client.call("POST", "/loadbalancers", {"loadbalancer": populated()})
            return str(made["loadbalancer"]["id"])

        self._timed("fully populated with 10 members → ACTIVE", order, 90, 885)

    def adds_members(self) -> None:
        """Members one by one, by both API programs in turn."""
        pool = add_pool(self.client, self.balancer)

        def add(number: int) -> str:
            (self.client, self.other)[number % 2].call("POST", f"/pools/{pool}/members", member(number))
            return self.balancer

        self._timed("member add → ACTIVE", add, 30, 267, number=3 * RUNS)
        used = []
        for number in range(100, 100 + 3 * RUNS):
            before = self._used()
            self.other.call("POST", f"/pools/{pool}/members", member(number))
            time.sleep(0.06)  # each its own pass, and no polling in the figure
            used.append(self._used() - before)
            self._run_floors()
        mean = statistics.mean(used) * 1000
        self._report("POST member, controller CPU in all", f"{mean:.1f} ms", 18, 260)
        self.client.await_active(self.balancer)
        time.sleep(0.5)
        with self.questions.counted() as counted:
            self.other.call("POST", f"/pools/{pool}/members", member(900))
            time.sleep(0.5)
        report("POST member, SQL statements by API / worker", counted.by_user(), "6 / 15 (upstream 55 / 227)")

    def lists(self) -> None:
        """A page of a thousand load balancers."""
        present = len(self.client.call("GET", "/loadbalancers")["loadbalancers"])
        for number in range(LISTED - present):
            create((self.client, self.other)[number % 2])
        pending = "/loadbalancers?provisioning_status=PENDING_CREATE"
        wait_for(lambda: b"PENDING" not in self.client.get_raw(pending), 120, 0.2)
        size = len(self.client.get_raw("/loadbalancers"))
        used = []
        for _ in range(RUNS):
            used.append(used_by(self.started["api1"], lambda: self.client.get_raw("/loadbalancers"), 1))
            self.bare_list.run()
        what = f"list of 1,000 load balancers ({size // 1000} kB), API CPU"
        _beside(what, used, self.bare_list, "30 ms, 1.03 times (upstream 590 ms)")

    def _timed(
        self, what: str, order: Callable[[int], str], goal: float, upstream: int, number: int = RUNS
    ) -> None:
        """From an order, which tells the load balancer, until that is ACTIVE."""
        times = []
        for count in range(number):
            start = time.monotonic()
            self.client.await_active(order(count))
            times.append(time.monotonic() - start)
            self._run_floors()
        self._report(what, spread(times), goal, upstream)

    def _run_floors(self) -> None:
        for one in self.floors:
            one.run()

    def _report(self, what: str, figure: str, goal: float, upstream: int) -> None:
        """A figure that no single floor is like: at the pace of the one that has slowed down least."""
        pace = min(one.settle()[1] for one in self.floors)
        report(what, figure, f"{goal} ms, at the floors' pace {goal * pace:.1f} (upstream {upstream})")

    def _used(self) -> float:
        return sum(cpu_seconds(process) for process in self.started.values())


def _beside(what: str, used: list[float], bare: Floor, goal: str) -> None:
    """A figure that a floor is like, both taken in turns."""
    mine, (least, _) = statistics.median(used) * 1000, bare.settle()
    report(what, f"{mine:.2f} ms, {mine / least:.2f} times a bare one", goal)


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
    directory: Path, name: str, arguments: list[str], database: str, broker: str, port: int, options: str = ""
) -> Iterator[int]:
    """One controller program with noop drivers; its process id. options: more of its configuration."""
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
{options}
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
