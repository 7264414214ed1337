"""What a request costs with 5,000 load balancers, and with ten: MariaDB, an API program on each database.

Both are asked in turns, so that what else the machine does weighs on both. The figure is the median over the
rounds; the ratio (x), to the same with ten load balancers, is the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests import services

from bench.controlplane import Questions, program
from bench.measure import Client, cpu_seconds, report
from hydria.model.resource import Resource
from hydria.store import Store, rows, schema, tables
from hydria.testing import trees as make

MANY, FEW, MEMBERS, PAGE = 5000, 10, 10, 1000
ROUNDS = 7
FLAT = 1.3
# Octavia's CPU per request, measured with 1,000 load balancers on a machine of this kind, milliseconds.
UPSTREAM = {"GET load balancer": 9.7, "list 1,000": 590.0, "list members": 11.0, "status tree": 11.9}

Ask = Callable[["Side"], None]


@dataclass
class Side:
    """An API program on a database of so many load balancers; ``numbers`` never repeat."""

    client: Client
    process: int
    database: int
    ids: list[dict[str, str]]
    numbers: Iterator[int]
    questions: Questions

    def one(self) -> dict[str, str]:
        """The ids of one load balancer and what is on it; the same ten in turn on both sides."""
        return self.ids[next(self.numbers) % FEW]


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        server = stack.enter_context(services.mariadb(durable=True))
        sides = {}
        for number, size in enumerate((FEW, MANY)):
            url = stack.enter_context(services.fresh_database(server))
            ids = populate(url, size)
            port = 19886 + number
            process = stack.enter_context(program(directory, f"api{size}", ["api"], url, "", port))
            sides[size] = Side(Client(port), process, server.pid, ids, count(), Questions(url))
        compare(sides[FEW], sides[MANY])


def populate(url: str, size: int) -> list[dict[str, str]]:
    """So many load balancers, each with a listener, a pool, members, a monitor and tags, all ACTIVE."""
    store = Store(url)
    schema.upgrade(store)
    found = []
    for start in range(0, size, 500):
        found += [names(number) for number in range(start, min(start + 500, size))]
        batch = found[start:]
        for made in (
            balancers(batch, start),
            pools(batch),
            listeners(batch),
            members(batch),
            monitors(batch),
        ):
            store.transact(lambda tx, made=made: rows.insert(tx, made))
        leased = [{"load_balancer_id": each["loadbalancer"], "term": 0, "expires_at": 0.0} for each in batch]
        store.transact(lambda tx, leased=leased: tx.execute(tables.leases.insert(), leased))
    store.close()
    return found


def names(number: int) -> dict[str, str]:
    kinds = ("loadbalancer", "listener", "pool", "member", "healthmonitor")
    return {kind: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}-{number}")) for kind in kinds}


def balancers(batch: list[dict[str, str]], start: int) -> list[Resource]:
    return [
        make.load_balancer(
            id=each["loadbalancer"], name=f"lb{start + number}", tags=("bench", f"n{start + number}"),
            generation=1, applied_generation=1, project_id=f"project{(start + number) % 50}",
        )
        for number, each in enumerate(batch)
    ]  # fmt: skip


def pools(batch: list[dict[str, str]]) -> list[Resource]:
    return [make.pool(id=each["pool"], load_balancer_id=each["loadbalancer"], generation=1) for each in batch]


def listeners(batch: list[dict[str, str]]) -> list[Resource]:
    return [
        make.listener(
            id=each["listener"],
            load_balancer_id=each["loadbalancer"],
            default_pool_id=each["pool"],
            generation=1,
        )
        for each in batch
    ]


def members(batch: list[dict[str, str]]) -> list[Resource]:
    return [
        make.member(
            id=each["member"] if number == 0 else str(uuid.uuid4()), load_balancer_id=each["loadbalancer"],
            pool_id=each["pool"], address=f"192.0.2.{number + 1}", protocol_port=80, generation=1,
        )
        for each in batch
        for number in range(MEMBERS)
    ]  # fmt: skip


def monitors(batch: list[dict[str, str]]) -> list[Resource]:
    return [
        make.monitor(
            id=each["healthmonitor"],
            load_balancer_id=each["loadbalancer"],
            pool_id=each["pool"],
            generation=1,
        )
        for each in batch
    ]


def get(path: str) -> Ask:
    """A GET; the path names ids of one load balancer's objects."""
    return lambda side: _served(side.client.get_raw(path.format(**side.one(), n=next(side.numbers) % FEW)))


def put(root: str, path: str) -> Ask:
    return lambda side: side.client.call(
        "PUT", path.format(**side.one()), {root: {"name": f"n{next(side.numbers)}"}}
    )


def post_balancer(side: Side) -> None:
    side.client.call("POST", "/loadbalancers", {"loadbalancer": {"vip_subnet_id": str(uuid.uuid4())}})


def post_listener(side: Side) -> None:
    number = next(side.numbers)
    body = {"protocol": "HTTP", "protocol_port": 1000 + number, "loadbalancer_id": side.one()["loadbalancer"]}
    side.client.call("POST", "/listeners", {"listener": body})


def post_pool(side: Side) -> None:
    body = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": side.one()["loadbalancer"]}
    side.ids[0]["fresh"] = side.client.call("POST", "/pools", {"pool": body})["pool"]["id"]


def post_member(side: Side) -> None:
    number = next(side.numbers)
    body = {"address": f"198.51.{number // 250 % 250}.{number % 250}", "protocol_port": 80}
    side.client.call("POST", f"/pools/{side.one()['pool']}/members", {"member": body})


def post_and_delete_monitor(side: Side) -> None:
    pool = side.ids[0]["fresh"]
    body = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, "pool_id": pool}
    made = side.client.call("POST", "/healthmonitors", {"healthmonitor": body})["healthmonitor"]["id"]
    side.client.call("DELETE", f"/healthmonitors/{made}")


# What is asked, and how often in a round.
READS: dict[str, tuple[Ask, int]] = {
    "GET load balancer": (get("/loadbalancers/{loadbalancer}"), 60),
    "GET listener": (get("/listeners/{listener}"), 60),
    "GET pool": (get("/pools/{pool}"), 60),
    "GET member": (get("/pools/{pool}/members/{member}"), 60),
    "status tree": (get("/loadbalancers/{loadbalancer}/status"), 40),
    "list members": (get("/pools/{pool}/members"), 40),
    "list page of 10": (get("/loadbalancers?limit=10"), 40),
    "list of one by tag": (get("/loadbalancers?tags=n{n}"), 40),
    "list of one by name": (get("/loadbalancers?name=lb{n}"), 40),
    "list listeners of one": (get("/listeners?load_balancer_id={loadbalancer}"), 40),
    "list page of 10 by name": (get("/loadbalancers?limit=10&sort=name"), 40),
}
WRITES: dict[str, tuple[Ask, int]] = {
    "PUT load balancer": (put("loadbalancer", "/loadbalancers/{loadbalancer}"), 30),
    "PUT listener": (put("listener", "/listeners/{listener}"), 30),
    "PUT pool": (put("pool", "/pools/{pool}"), 30),
    "PUT member": (put("member", "/pools/{pool}/members/{member}"), 30),
    "PUT health monitor": (put("healthmonitor", "/healthmonitors/{healthmonitor}"), 30),
    "POST load balancer": (post_balancer, 20),
    "POST listener": (post_listener, 30),
    "POST pool": (post_pool, 30),
    "POST member": (post_member, 30),
    "POST and DELETE health monitor": (post_and_delete_monitor, 20),
}


def compare(few: Side, many: Side) -> None:
    """The figures of every request on both sides."""
    for what, (ask, times) in {**READS, **WRITES}.items():
        for side in (few, many):
            for _ in range(5):
                ask(side)  # compiled, prepared and warm
        rounds = [(spent(few, ask, times), spent(many, ask, times)) for _ in range(ROUNDS)]
        ratios = [statistics.median(large[who] / small[who] for small, large in rounds) for who in (0, 1)]
        figures = [statistics.median(large[who] for _, large in rounds) * 1000 for who in (0, 1)]
        upstream = UPSTREAM.get(what)
        goal = f"ratio {FLAT}" + (f", {upstream / 10:.2f} ms (upstream {upstream})" if upstream else "")
        said = f"{figures[0]:.2f} ms (x {ratios[0]:.2f}), database {figures[1]:.2f} ms (x {ratios[1]:.2f})"
        report(f"{what} ({statements(many, ask)} SQL)", said, goal)
    pages(many)


def pages(many: Side) -> None:
    """Lists cost as much as their pages are long, whatever else there is."""
    lengths = {length: get(f"/loadbalancers?limit={length}") for length in (100, PAGE)}
    costs = {}
    for length, ask in lengths.items():
        ask(many)
        costs[length] = statistics.median(spent(many, ask, 5)[0] for _ in range(ROUNDS))
    upstream = UPSTREAM["list 1,000"]
    figure = f"{costs[PAGE] * 1000:.1f} ms, {costs[PAGE] / costs[100]:.1f} x that of 100"
    report("list page of 1,000, API CPU", figure, f"{upstream / 10:.0f} ms (upstream {upstream}), 10 x")


def spent(side: Side, ask: Ask, times: int) -> tuple[float, float]:
    """Seconds of processor per request: the API's, the database's."""
    before = cpu_seconds(side.process), cpu_seconds(side.database)
    for _ in range(times):
        ask(side)
    after = cpu_seconds(side.process), cpu_seconds(side.database)
    return (after[0] - before[0]) / times, (after[1] - before[1]) / times


def statements(side: Side, ask: Ask) -> int:
    with side.questions.counted() as counted:
        ask(side)
    return counted.total


def _served(answer: bytes) -> None:
    assert b"faultstring" not in answer, answer[:300]
