"""Traffic through a Hydria load balancer, HAProxy by hand, nginx, and directly to the member, in turns.

The client is this host; each path is a namespace on the same bridge. In each round every path is measured for
``SECONDS``, so that what else the machine does weighs on all of them. Figures are medians over the rounds,
ratios the medians of the rounds' own ratios. Amphorae have no limit of processor time; the others have none.

Between two HAProxies with the same configuration the ratio of two single seconds, one after the other, varies
by an eighth. So HAProxy by hand, which there is a goal for, is compared with another clock: two clients that
take turns of ``SLICE``, in three times as many rounds of twice the length. The processor time that HAProxy
itself takes for a request is a figure besides.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.machine import Machine, amphora_processes, machine, namespaces
from bench.measure import Client, cpu_seconds, report
from bench.rivals import HAPROXY, HTTP, KEYS, NAMESPACES, RSA, UDP, answers, rivals

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = 1
SLICE = 0.05
CONNECTIONS = 16
_DONE = re.compile(r"(\d+) requests in")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_PORTS = itertools.count(1024)  # of members that come and go: none twice
_ERRORS = re.compile(r"Socket errors: .*|Non-2xx.*")

# what -> further arguments of wrk, URL
SCENARIOS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "HTTP keep-alive, requests a second": ((), "http://{}/"),
    "HTTP, a connection each": (("-H", "Connection: close"), "http://{}/"),
    "TLS keep-alive (P-256)": ((), "https://{}/"),
    "TLS handshakes, ECDSA P-256": (("-H", "Connection: close"), "https://{}/"),
    "TLS handshakes, RSA-2048": (("-H", "Connection: close"), f"https://{{}}:{RSA}/"),
}


def main() -> None:
    with machine("[netns]\ncpu_limit = 0\n") as running:
        certificates(running)
        client = Client()
        with rivals(running, running.directory) as others:
            made, udp = order(client, others.member), order_udp(client, others.member)
            ours, by_hand = made["vip_address"], others.haproxy
            beside = {"nginx": others.nginx, "direct": others.member}
            for address in (ours, by_hand, *beside.values()):
                answers(address)
            pair = {"hydria": (ours, _haproxy(*namespaces(running))), "haproxy": (by_hand, _haproxy(HAPROXY))}
            for what, (arguments, url) in SCENARIOS.items():
                found, costs = in_slices(arguments, url, pair)
                tell(what, found)
                used = " and ".join(f"{statistics.median(each) * 1e6:.1f}" for each in costs.values())
                report(f"    us of processor a request: {used}", f"{ratio(*costs.values()):.3f}", "-")
                tell(what, in_turns({"hydria": ours, **beside}, partial(wrk, arguments, url), ROUNDS))
            ways = {"hydria": udp["vip_address"], **beside}
            tell("UDP, answered datagrams a second, 64 flows", in_turns(ways, packets, ROUNDS))
            latency(running, Client(), made, others.haproxy)  # the API has closed the other connection by now


def certificates(running: Machine) -> None:
    """P-256 and RSA-2048, kept as ``local:p256`` and ``local:rsa``."""
    kinds = {"p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
    for name, kind in kinds.items():
        made, key = running.directory / f"{name}.crt", running.directory / f"{name}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=www.example.org",
             "-newkey", *kind, "-keyout", key, "-out", made],
            check=True, capture_output=True,
        )  # fmt: skip
        (running.directory / f"{name}.pem").write_text(made.read_text() + key.read_text())
        subprocess.run(
            [sys.executable, "-m", "hydria.cli", "certificate", "add", name, "--certificate", made,
             "--private-key", key, "--config-file", running.directory / "hydria.conf"],
            check=True, capture_output=True,
        )  # fmt: skip


def order(client: Client, member: str) -> dict[str, Any]:
    """A load balancer with a listener for each way over TCP, all in front of the one member."""
    pool = _pool("web", "HTTP", member, HTTP)
    listeners = [{"protocol": "HTTP", "protocol_port": HTTP, "default_pool": pool}]
    for port, key in KEYS.items():
        terminated = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": f"local:{key}"}
        listeners.append({**terminated, "protocol_port": port, "default_pool": {"name": "web"}})
    return _made(client, listeners)


def order_udp(client: Client, member: str) -> dict[str, Any]:
    """Another one for UDP, as HAProxy by hand has no such thing beside it, either."""
    listener = {"protocol": "UDP", "protocol_port": UDP, "default_pool": _pool("udp", "UDP", member, UDP)}
    return _made(client, [listener])


def _pool(name: str, protocol: str, member: str, port: int) -> dict[str, Any]:
    members = [{"address": member, "protocol_port": port}]
    return {"name": name, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "members": members}


def _made(client: Client, listeners: Sequence[dict[str, Any]]) -> dict[str, Any]:
    body = {"loadbalancer": {"name": "traffic", "listeners": listeners}}
    made: dict[str, Any] = client.call("POST", "/loadbalancers", body)["loadbalancer"]
    client.await_active(made["id"])
    return made


def in_slices(
    arguments: tuple[str, ...], url: str, paths: Mapping[str, tuple[str, int]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Requests a second of each path, and seconds that its process uses for one; paths: address, process."""
    rates: dict[str, list[float]] = {name: [] for name in paths}
    costs: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(3 * ROUNDS):
        names = sorted(paths, reverse=bool(number % 2))
        before = {name: cpu_seconds(paths[name][1]) for name in names}
        done = sliced([_wrk(4 * SECONDS, arguments, url, paths[name][0]) for name in names])
        for name, requests in zip(names, done, strict=True):
            rates[name].append(requests / (2 * SECONDS))
            costs[name].append((cpu_seconds(paths[name][1]) - before[name]) / requests)
    return rates, costs


def sliced(commands: Sequence[Sequence[str]]) -> list[int]:
    """Requests that each client has done; while one works the others are stopped."""
    with ExitStack() as stack:
        clients = []
        for command in commands:
            client = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(client.kill)
            client.send_signal(signal.SIGSTOP)
            clients.append(client)
        for client in itertools.cycle(clients):
            if all(each.poll() is not None for each in clients):
                break
            client.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                client.wait(SLICE)
            client.send_signal(signal.SIGSTOP)
        return [int(_searched(_DONE, client.communicate()[0])) for client in clients]


def wrk(arguments: tuple[str, ...], url: str, address: str) -> float:
    """Requests a second."""
    command = _wrk(SECONDS, arguments, url, address)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(_searched(_RATE, said))


def _wrk(seconds: int, arguments: tuple[str, ...], url: str, address: str) -> list[str]:
    return ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", *arguments, url.format(address)]


def _searched(figure: re.Pattern[str], said: str) -> str:
    assert not _ERRORS.search(said), said
    found = figure.search(said)
    assert found, said
    return found[1]


def packets(address: str) -> float:
    command = [sys.executable, "-m", "bench.udp", address, str(UDP), str(SECONDS)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def in_turns(paths: Mapping[str, str], take: Callable[[str], float], rounds: int) -> dict[str, list[float]]:
    """Forwards and backwards, so that neighbors are compared, and each is as often the first of the two."""
    found: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(rounds):
        for name in sorted(paths, reverse=bool(number % 2), key=list(paths).index):
            found[name].append(take(paths[name]))
    return found


def tell(what: str, found: Mapping[str, list[float]]) -> None:
    figures = ", ".join(f"{name} {statistics.median(rates):.0f}" for name, rates in found.items())
    print(f"{what}: {figures}", flush=True)
    for name, rates in found.items():
        if name != "hydria":
            goal = "0.97" if name == "haproxy" else "-"
            report(f"    hydria / {name}", f"{ratio(found['hydria'], rates):.3f}", goal)


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def latency(running: Machine, client: Client, made: dict[str, Any], beside: str) -> None:
    """p99 with and without ten changes a second through the API: members that come and go.

    HAProxy by hand, which nobody changes, is asked at the same time: what becomes of its p99 is the machine's
    doing. First with what traffic passes through on one processor and who changes it, controllers and agent,
    on another, as where controllers are on machines of their own; then with all on all processors.
    """
    shown = client.call("GET", f"/loadbalancers/{made['id']}")["loadbalancer"]
    pools = [pool["id"] for pool in shown["pools"]]
    with apart(running) as processor:
        compare("apart", "1.1", partial(p99, client, made, beside, pools, processor))
    compare("together", "-", partial(p99, client, made, beside, pools, None))


@contextmanager
def apart(running: Machine) -> Iterator[int]:
    """Everything on the first processor but controllers, agents and this program; the number of the first."""
    before = os.sched_getaffinity(0)
    first, last = min(before), max(before)
    amphorae = [process for name in namespaces(running) for process in amphora_processes(name)]
    on_the_way = [process for process in amphorae if _name(process) == "haproxy"]
    on_the_way += [process for name in NAMESPACES for process in amphora_processes(name)]
    changing = [running.process, os.getpid(), *(one for one in amphorae if one not in on_the_way)]
    try:
        _keep_on({last}, changing)
        _keep_on({first}, on_the_way)
        yield first
    finally:
        _keep_on(before, changing + on_the_way)


def _haproxy(*names: str) -> int:
    """The one HAProxy in these namespaces."""
    (found,) = (each for name in names for each in amphora_processes(name) if _name(each) == "haproxy")
    return found


def _name(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def _keep_on(processors: set[int], processes: list[int]) -> None:
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), processors)


def compare(how: str, goal: str, take: Callable[[bool], tuple[float, float]]) -> None:
    """Rounds of both, changing and not, in turns."""
    quiet, busy = [], []
    for number in range(ROUNDS):
        for changing in (False, True) if number % 2 else (True, False):
            (busy if changing else quiet).append(take(changing))
    for place, name in enumerate(("hydria", "haproxy")):
        mine, usual = ([pair[place] for pair in pairs] for pairs in (busy, quiet))
        figures = f"{statistics.median(mine):.2f} and {statistics.median(usual):.2f} ms"
        report(f"p99 with ten changes a second, without; {how}: {name}", figures, "-")
        report(
            "    ratio", f"{ratio(mine, usual):.2f}", goal if name == "hydria" else "- (nobody changes it)"
        )


def p99(
    client: Client, made: dict[str, Any], beside: str, pools: Sequence[str], processor: int | None,
    changing: bool,
) -> tuple[float, float]:  # fmt: skip
    """Of both at the same time, ms; ``changing``: while members of these pools come and go in turn."""
    where = [] if processor is None else [str(processor)]
    commands = (
        [sys.executable, "-m", "bench.latency", address, "6", *where]
        for address in (made["vip_address"], beside)
    )
    with ExitStack() as stack:
        asking = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            for command in commands
        ]
        members: dict[str, list[str]] = {pool: [] for pool in pools}
        turns = itertools.cycle(pools)
        due = time.monotonic()
        while changing and asking[0].poll() is None:
            pool = next(turns)
            change(client, pool, members[pool])
            due += 0.1
            time.sleep(max(0.0, due - time.monotonic()))
        ours, theirs = (float(process.communicate()[0].split()[1]) for process in asking)
    client.await_active(made["id"])
    return ours, theirs


def change(client: Client, pool: str, members: list[str]) -> None:
    """Add one that takes nothing, as the weight is 0, or remove the oldest of three."""
    if len(members) < 3:
        body = {
            "member": {
                "address": "198.51.100.1",
                "protocol_port": next(_PORTS),
                "weight": 0,
            }
        }
        members.append(client.call("POST", f"/pools/{pool}/members", body)["member"]["id"])
    else:
        with suppress(AssertionError):
            client.call("DELETE", f"/pools/{pool}/members/{members.pop(0)}")
