"""How fast this machine is: the least that each thing could take here, and what it took where goals were set.

Goals in milliseconds hold for quiet machines of one kind. Machines are shared, and differ: what a small
program takes here tells how many times as long everything takes, whatever Hydria does.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import falcon
import msgspec
import sqlalchemy as sa
import waitress
from taskflow import engines, task
from taskflow.patterns import linear_flow, unordered_flow

from bench.machine import Machine, answer
from bench.measure import Client, report, used_by, wait_for
from bench.rivals import namespace

PORT = 19899
# Milliseconds on the quiet machine.
_GET, _LIST, _FLOW, _AMPHORA = 0.78, 29.2, 8.9, 26.3
_RUNS = 15


@contextmanager
def api(url: str) -> Iterator[tuple[Client, int]]:
    """An API that shows and lists load balancers, and does nothing else; its client and its process."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench.floor", url], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        wait_for(_listens, 10, 0.02)
        yield Client(PORT), process.pid
    finally:
        process.kill()
        process.wait()


class Floor:
    """Something that a small program does, run in turns with what Hydria does: seconds of processor each."""

    def __init__(self, what: str, there: float, once: Callable[[], float]) -> None:
        self._what, self._there, self._once = what, there, once
        self._all: list[float] = []
        self._lately: list[float] = []

    def run(self) -> None:
        """Once more."""
        self._lately.append(self._once())

    def settle(self) -> tuple[float, float]:
        """Milliseconds since the last time this was asked, and times as many as where goals were set."""
        taken, self._lately = self._lately, []
        self._all += taken
        here = statistics.median(taken) * 1000
        return here, here / self._there

    def report(self) -> None:
        """The line of all runs."""
        _report(self._what, statistics.median(self._all), self._there)


def shows(client: Client, process: int, balancer: str, number: int = 50) -> Floor:
    """Show a load balancer, with the ids of its listeners and pools; two statements, as in Hydria."""

    def once() -> float:
        return used_by(process, lambda: client.get_raw(f"/loadbalancers/{balancer}"), number)

    once()
    return Floor("GET of a bare Falcon application, CPU", _GET, once)


def lists(client: Client, process: int) -> Floor:
    """List all load balancers, a thousand, in one statement."""

    def once() -> float:
        return used_by(process, lambda: client.get_raw("/loadbalancers"), 1)

    once()
    return Floor("list of a bare Falcon application, CPU", _LIST, once)


def flows() -> Floor:
    """Eight TaskFlow tasks that do nothing."""

    def once() -> float:
        before = time.process_time()
        _flow()
        return time.process_time() - before

    once()
    return Floor("a TaskFlow flow of eight empty tasks, CPU", _FLOW, once)


def amphorae(running: Machine, member: str) -> None:
    """A namespace on the VIP network, HAProxy in it, the first answer."""
    times = []
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "haproxy.cfg")
        config.write_text(
            "global\n nbthread 1\n maxconn 9000\n httpclient.ssl.verify none\ndefaults\n mode http\n"
            " timeout connect 5s\n timeout client 50s\n timeout server 50s\n"
            f"listen web\n bind :80\n server one {member}\n"
        )
        for number in range(_RUNS):
            address = running.free_address(2 + number)
            started = time.monotonic()
            with namespace(running, "bf", address):
                command = ["ip", "netns", "exec", "bf", "haproxy", "-db", "-f", str(config)]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    wait_for(lambda vip=address: answer(vip), 10)
                    times.append(time.monotonic() - started)
                finally:
                    process.terminate()
                    process.wait(10)
    _report("a bare namespace, HAProxy and the first answer", statistics.median(times), _AMPHORA)


def _listens() -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", PORT)) == 0


class _Empty(task.Task):  # type: ignore[misc]  # TaskFlow is not typed
    def execute(self) -> int:
        return 1


def _flow() -> None:
    flow = linear_flow.Flow("floor").add(*(_Empty(f"{number}") for number in range(6)))
    flow.add(unordered_flow.Flow("both").add(_Empty("a"), _Empty("b")))
    engines.run(flow, engine="serial")


def _report(what: str, seconds: float, there: float) -> None:
    here = seconds * 1000
    report(
        f"floor: {what}", f"{here:.2f} ms", f"- ({there} ms where goals were set: {here / there:.1f} times)"
    )


class _Balancers:
    """Rows as they are, as JSON."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        tables = sa.MetaData()
        tables.reflect(self._engine, only=["load_balancers", "listeners", "pools"])
        balancers, listeners, pools = (
            tables.tables[name] for name in ("load_balancers", "listeners", "pools")
        )
        wanted = sa.bindparam("balancer")
        self._one = sa.select(balancers).where(balancers.c.id == wanted)
        self._all = sa.select(balancers).limit(1000)
        self._below = sa.union_all(
            *(
                sa.select(sa.literal(table.name), table.c.id).where(table.c.load_balancer_id == wanted)
                for table in (listeners, pools)
            )
        )

    def on_get(self, _request: falcon.Request, response: falcon.Response, balancer: str) -> None:
        with self._engine.connect() as connection:
            shown: dict[str, Any] = dict(
                connection.execute(self._one, {"balancer": balancer}).mappings().one()
            )
            below = connection.execute(self._below, {"balancer": balancer}).all()
        for name in ("listeners", "pools"):
            shown[name] = [{"id": row[1]} for row in below if row[0] == name]
        response.data = msgspec.json.encode({"loadbalancer": shown})

    def on_get_all(self, _request: falcon.Request, response: falcon.Response) -> None:
        with self._engine.connect() as connection:
            found = [dict(row) for row in connection.execute(self._all).mappings()]
        response.data = msgspec.json.encode({"loadbalancers": found})


def _serve(url: str) -> None:
    application, balancers = falcon.App(), _Balancers(url)
    application.add_route("/v2/lbaas/loadbalancers/{balancer}", balancers)
    application.add_route("/v2/lbaas/loadbalancers", balancers, suffix="all")
    print("ready", flush=True)
    waitress.serve(application, host="127.0.0.1", port=PORT, _quiet=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
