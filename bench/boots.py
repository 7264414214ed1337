"""Many load balancers whose amphorae boot slowly, some of them in vain, and one that only wants a change."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests import services

from bench.controlplane import add_pool, create, member, program
from bench.measure import Client, memory, report, spread

PORT = 19876
SIZE = int(os.environ.get("SIZE", "200"))
BOOT = float(os.environ.get("BOOT", "30"))
FAILING = 10
CHANGES = 20


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        database = stack.enter_context(services.mariadb(durable=True))
        broker = stack.enter_context(services.rabbitmq())
        usual = stack.enter_context(services.fresh_database(database))
        url = usual.replace("mysql+pymysql", f"mysql+{os.environ.get('DRIVER', 'mysqldb')}")
        stack.enter_context(program(directory, "api", ["api"], url, broker.url, PORT))
        client = Client(PORT)
        # The first one is ready before the compute service gets slow.
        with program(directory, "worker", ["worker"], url, broker.url, 0):
            balancer = create(client)
            client.await_active(balancer)
            pool = add_pool(client, balancer)
        slow = f"[compute_noop]\nboot_time = {BOOT}\nfailing = {FAILING}\n"
        worker = stack.enter_context(program(directory, "worker", ["worker"], url, broker.url, 0, slow))
        idle = _changes(client, pool, balancer, 0)
        before = memory(worker, "Rss")
        started = time.monotonic()
        made = [create(client) for _ in range(SIZE)]
        ordered = time.monotonic() - started
        rushed = _changes(client, pool, balancer, CHANGES)
        busy = _changes(client, pool, balancer, 2 * CHANGES, pause=BOOT / 2 / CHANGES)
        during = memory(worker, "Rss")
        # Of those that failed, another amphora boots.
        good = SIZE - SIZE // FAILING
        deadline = started + ordered + 2 * BOOT + 60
        while _active(client, made) < good and time.monotonic() < deadline:
            time.sleep(0.2)
        took, active = time.monotonic() - started, _active(client, made)
        report(f"{SIZE} ordered, boots of {BOOT:.0f} s: orders taken", f"{ordered:.1f} s", "-")
        report(f"the {good} good ones ACTIVE, of {active} by then", f"{took:.1f} s", f"{BOOT * 1.5:.0f} s")
        ratio = statistics.median(busy) / statistics.median(idle)
        report("member change elsewhere → ACTIVE, idle", spread(idle), "-")
        report("the same right after the orders, which take their turns", spread(rushed), "-")
        report("the same while amphorae boot", f"{spread(busy)}: {ratio:.2f}", "1.5 times")
        report("worker: memory", f"{before:.0f} → {during:.0f} MB RSS", "+30 MB")


def _active(client: Client, balancers: list[str]) -> int:
    page = client.call("GET", "/loadbalancers?provisioning_status=ACTIVE&fields=id&limit=1000")
    return len({each["id"] for each in page["loadbalancers"]} & set(balancers))


def _changes(client: Client, pool: str, balancer: str, first: int, pause: float = 0.0) -> list[float]:
    """Seconds until each of some members is served."""
    times = []
    for number in range(first, first + CHANGES):
        time.sleep(pause)
        began = time.monotonic()
        client.call("POST", f"/pools/{pool}/members", member(number))
        client.await_active(balancer)
        times.append(time.monotonic() - began)
    return times
