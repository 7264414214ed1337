"""A hundred load balancers on one machine."""

from __future__ import annotations

import time

from bench.machine import answer, machine, order, web_server
from bench.measure import Client, memory, report, spread, wait_for

SIZE = 100


def main() -> None:
    with machine() as running, web_server(running.gateway, "8001-8003", "base"):
        client = Client()
        started = time.monotonic()
        made = [order(client, running.gateway, [8001, 8002, 8003], f"lb{number}") for number in range(SIZE)]
        for one in made:
            client.await_active(one["id"], pause=0.02)
        report(f"{SIZE} load balancers, order → all ACTIVE", f"{time.monotonic() - started:.1f} s", "-")
        serving = sum(bool(wait_for(lambda vip=one["vip_address"]: answer(vip), 10) or True) for one in made)
        report("load balancers that answer", f"{serving} of {SIZE}", f"{SIZE}")
        times = []
        for number in range(300):
            start = time.monotonic()
            client.get_raw(f"/loadbalancers/{made[number % SIZE]['id']}")
            times.append(time.monotonic() - start)
        report("GET a load balancer meanwhile", spread(times), "10 ms")
        report("hydria all: memory", f"{memory(running.process, 'Rss'):.0f} MB RSS", "-")
        started = time.monotonic()
    report(f"{SIZE} load balancers taken down", f"{time.monotonic() - started:.1f} s", "-")
