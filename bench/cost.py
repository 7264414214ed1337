"""What members and listeners cost: time of a change, and the memory of the amphora."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bench.changes import settled
from bench.machine import machine, namespaces
from bench.measure import Client, report, wait_for

MEMBERS, LISTENERS = (1, 100, 1000), (1, 10, 50)
CHANGES = 10


def main() -> None:
    with machine() as running:
        client = Client()
        for members in MEMBERS:
            cost(client, running, f"{members} members", members, 1)
        for listeners in LISTENERS:
            cost(client, running, f"{listeners} listeners of 10 members", 10, listeners)


def cost(client: Client, running: Any, what: str, members: int, listeners: int) -> None:
    made = order(client, members, listeners)
    (namespace,) = namespaces(running)
    live = times(client, made, lambda: weigh(client, made))
    reloading = times(client, made, lambda: restructure(client, made))
    report(f"{what}: a weight → ACTIVE, live", f"{live:.0f} ms", "-")
    report(f"{what}: a timeout → ACTIVE, by a reload", f"{reloading:.0f} ms", "-")
    report(f"{what}: amphora's memory", f"{settled(namespace, 90):.1f} MB PSS", "-")
    client.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
    wait_for(lambda: client.status(made["id"]) == "DELETED", pause=0.05)


def order(client: Client, members: int, listeners: int) -> dict[str, Any]:
    pool: dict[str, Any] = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool["members"] = [
        {"address": f"198.51.{100 + number // 250}.{1 + number % 250}", "protocol_port": 80}
        for number in range(members)
    ]
    bodies = [
        {
            "protocol": "HTTP",
            "protocol_port": 8000 + number,
            "default_pool": {"name": "p"} if number else pool,
        }
        for number in range(listeners)
    ]
    body = {"loadbalancer": {"name": "cost", "listeners": bodies}}
    identifier = client.call("POST", "/loadbalancers", body)["loadbalancer"]["id"]
    client.await_active(identifier)
    made: dict[str, Any] = client.call("GET", f"/loadbalancers/{identifier}")["loadbalancer"]
    (of_it,) = made["pools"]
    made["member"] = client.call("GET", f"/pools/{of_it['id']}/members")["members"][0]["id"]
    return made


def weigh(client: Client, made: dict[str, Any]) -> None:
    path = f"/pools/{made['pools'][0]['id']}/members/{made['member']}"
    client.call("PUT", path, {"member": {"weight": 1 + time.monotonic_ns() % 256}})


def restructure(client: Client, made: dict[str, Any]) -> None:
    body = {"listener": {"timeout_client_data": 50_000 + time.monotonic_ns() % 1000}}
    client.call("PUT", f"/listeners/{made['listeners'][0]['id']}", body)


def times(client: Client, made: dict[str, Any], change: Any) -> float:
    """The median, ms."""
    found = []
    for _ in range(CHANGES):
        began = time.monotonic()
        change()
        client.await_active(made["id"], pause=0.002)
        found.append(time.monotonic() - began)
    return statistics.median(found) * 1000
