"""``hydria all`` with amphorae in namespaces, for the benchmarks of one machine."""

from __future__ import annotations

import http.client
import ipaddress
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Client, wait_for
from hydria import settings


@dataclass(frozen=True)
class Machine:
    """The running controllers: process id, state directory, the VIP network and the host's address on it."""

    process: int
    directory: Path
    gateway: str
    network: ipaddress.IPv4Network

    def free_address(self, number: int) -> str:
        """One of the last addresses of the VIP network; Hydria takes its own anywhere in thousands."""
        return str(self.network[-number])

    @property
    def prefix_length(self) -> int:
        """Of the VIP network."""
        return self.network.prefixlen


@contextmanager
def machine(options: str = "") -> Iterator[Machine]:
    """``options``: further lines of hydria.conf."""
    with tempfile.TemporaryDirectory(prefix="hydria-bench-") as name:
        directory = Path(name)
        config = directory / "hydria.conf"
        config.write_text(f"[DEFAULT]\nstate_dir = {name}\n{options}")
        with (directory / "hydria.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hydria.cli", "all", "--ephemeral", "--state-dir", name,
                 "--config-file", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            log_text = (directory / "hydria.log").read_text
            wait_for(lambda: "Hydria serves" in log_text() or process.poll() is not None, 30, 0.02)
            assert process.poll() is None, log_text()
            network = ipaddress.IPv4Network(settings.load().bridge.vip_cidr_v4)
            yield Machine(process.pid, directory, str(network[1]), network)
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def web_server(address: str, ports: str, name: str) -> Iterator[None]:
    """A member's web server on these ports (``8001-8010``), a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.webserver", address, ports, name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def load(address: str, rate: int) -> Iterator[dict[str, Any]]:
    """Load on a VIP while the block runs; the dictionary has the result afterwards."""
    with _loading("bench.load", address, str(rate)) as result:
        yield result


@contextmanager
def mixed_load(spec: dict[str, Any], *prefix: str) -> Iterator[dict[str, Any]]:
    """Load of :mod:`bench.mixed` while the block runs; ``prefix``: of the command, ``ip netns exec …``."""
    with _loading("bench.mixed", json.dumps(spec), prefix=prefix) as result:
        yield result


@contextmanager
def _loading(module: str, *arguments: str, prefix: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    result: dict[str, Any] = {}
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield result
        result.update(json.loads(process.communicate(timeout=30)[0]))
    finally:
        process.kill()
        process.wait()


def order(
    client: Client, gateway: str, ports: list[int], name: str = "bench", monitored: bool = True
) -> dict[str, Any]:
    """Order a load balancer with one listener, one pool and these members; the API's answer."""
    pool: dict[str, Any] = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": gateway, "protocol_port": port} for port in ports],
    }  # fmt: skip
    if monitored:
        pool["healthmonitor"] = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1}
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    body = {"loadbalancer": {"name": name, "listeners": [listener]}}
    made: dict[str, Any] = client.call("POST", "/loadbalancers", body)["loadbalancer"]
    return made


def answer(address: str) -> str:
    """What a request through the VIP gets; "" when it gets nothing."""
    # Shorter than the second after which a lost SYN is repeated.
    connection = http.client.HTTPConnection(address, timeout=0.2)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.read().decode() if response.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def amphora_processes(namespace: str) -> list[int]:
    """The processes of an amphora."""
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True)
    return [int(process) for process in found.stdout.split()]


def namespaces(machine: Machine) -> list[str]:
    """The namespaces of all amphorae of these controllers."""
    instance = (machine.directory / "instance").read_text().strip()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(f"hy{instance}")]
