"""One machine: from the order to the first answer, changes of members under load, what it costs when idle."""

from __future__ import annotations

import time
from pathlib import Path

from bench import floor
from bench.machine import Machine, amphora_processes, answer, load, machine, namespaces, order, web_server
from bench.measure import Client, cpu, memory, report, spread, wait_for

ORDERS = 20
CHANGES = 200


def main() -> None:
    with (
        machine() as running,
        web_server(running.gateway, "8001-8003", "base"),
        web_server(running.gateway, "8100-8399", "extra"),
    ):
        client = Client()
        floor.amphorae(running, f"{running.gateway}:8001")
        first_answers(client, running)
        made = order(client, running.gateway, [8001, 8002, 8003])
        client.await_active(made["id"])
        member_changes(client, running, made)
        idle(running)


def first_answers(client: Client, running: Machine) -> None:
    times = []
    for _ in range(ORDERS):
        started = time.monotonic()
        made = order(client, running.gateway, [8001, 8002, 8003])
        wait_for(lambda vip=made["vip_address"]: answer(vip) == "base")
        times.append(time.monotonic() - started)
        client.await_active(made["id"])
        client.call("DELETE", f"/loadbalancers/{made['id']}?cascade=true")
        wait_for(lambda identifier=made["id"]: client.status(identifier) == "DELETED")
    report("order → first HTTP 200 through the VIP", spread(times), "300 ms (upstream 20 s and more)")


def member_changes(client: Client, running: Machine, made: dict[str, object]) -> None:
    vip = str(made["vip_address"])
    pool = client.call("GET", f"/loadbalancers/{made['id']}")["loadbalancer"]["pools"][0]["id"]
    wait_for(lambda: answer(vip))
    before = haproxy_processes(running)
    times: list[float] = []
    with load(vip, 500) as result:
        for number in range(CHANGES // 2):
            body = {"member": {"address": running.gateway, "protocol_port": 8100 + number, "weight": 200}}
            started = time.monotonic()
            member = client.call("POST", f"/pools/{pool}/members", body)["member"]["id"]
            wait_for(lambda: answer(vip) == "extra", pause=0)
            times.append(time.monotonic() - started)
            client.call("DELETE", f"/pools/{pool}/members/{member}")
            client.await_active(str(made["id"]))
    reloads = len(set(haproxy_processes(running)) - set(before))
    report("member POST → it answers, under load", spread(times), "60 ms")
    sent = sum(result["requests"].values())
    figure = f"{result['failed']} of {sent} failed, {reloads} reloads"
    report(f"{CHANGES} adds and removes under load", figure, "0 failed, 0 reloads")
    for failure in result["failures"]:
        print("   ", failure)


def idle(running: Machine) -> None:
    time.sleep(3)
    before, started = cpu(running.process), time.monotonic()
    time.sleep(15)
    used = (cpu(running.process) - before) / (time.monotonic() - started)
    report("hydria all, one idle load balancer: processor", f"{used * 100:.2f} % of a core", "2 %")
    report("hydria all: memory", f"{memory(running.process, 'Rss'):.0f} MB RSS", "150 MB")
    for namespace in namespaces(running):
        processes = amphora_processes(namespace)
        before_all, started = sum(map(cpu, processes)), time.monotonic()
        time.sleep(10)
        used = (sum(map(cpu, processes)) - before_all) / (time.monotonic() - started)
        total = sum(memory(process, "Pss") for process in processes)
        report("amphora (agent, root part, HAProxy): memory", f"{total:.1f} MB PSS", "40 MB")
        report("amphora, idle: processor", f"{used * 100:.2f} % of a core", "-")


def haproxy_processes(running: Machine) -> list[int]:
    return [
        process
        for namespace in namespaces(running)
        for process in amphora_processes(namespace)
        if Path(f"/proc/{process}/comm").read_text().strip() == "haproxy"
    ]
