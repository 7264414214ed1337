"""Figures of processes and of lists of times, and the small API client that the benchmarks share."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")


def cpu(process: int) -> float:
    """Seconds of processor that a process and its threads have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def cpu_seconds(process: int) -> float:
    """The same to the nanosecond, of the threads that live."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def used_by(process: int, work: Callable[[], object], number: int) -> float:
    """Seconds of processor that a process uses while something is done, per time that it is."""
    before = cpu_seconds(process)
    for _ in range(number):
        work()
    return (cpu_seconds(process) - before) / number


def memory(process: int, kind: str) -> float:
    """``Pss`` or ``Rss`` of a process, MB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def spread(times: Iterable[float], unit: str = "ms", factor: float = 1000) -> str:
    """Median, and least and most in brackets."""
    values = sorted(value * factor for value in times)
    return f"{statistics.median(values):.1f} {unit} ({values[0]:.1f} to {values[-1]:.1f}, n={len(values)})"


def report(what: str, figure: str, goal: str) -> None:
    """A line of a benchmark."""
    print(f"{what:58} {figure:42} goal: {goal}", flush=True)


def wait_for(reached: Callable[[], object], seconds: float = 60, pause: float = 0.001) -> float:
    """Seconds until something is true."""
    started = time.monotonic()
    while not reached():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not reached within {seconds} s")
        time.sleep(pause)
    return time.monotonic() - started


class Client:
    """The API over one kept connection."""

    def __init__(self, port: int = 9876) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; AssertionError with its text when the API refuses."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.request(
            method, f"/v2/lbaas{path}", None if body is None else json.dumps(body), headers
        )
        response = self._connection.getresponse()
        text = response.read()
        assert response.status < 400, f"{method} {path}: {response.status} {text!r}"
        return json.loads(text) if text else None

    def get_raw(self, path: str) -> bytes:
        """An answer that nobody decodes."""
        self._connection.request("GET", f"/v2/lbaas{path}")
        response = self._connection.getresponse()
        return response.read()

    def status(self, balancer: str) -> str:
        """A load balancer's provisioning status; DELETED when it is gone."""
        self._connection.request("GET", f"/v2/lbaas/loadbalancers/{balancer}")
        response = self._connection.getresponse()
        text = response.read()
        return (
            "DELETED" if response.status == 404 else json.loads(text)["loadbalancer"]["provisioning_status"]
        )

    def await_active(self, balancer: str, pause: float = 0.001) -> float:
        """Seconds until a load balancer is ACTIVE; AssertionError when it is in ERROR."""

        def active() -> bool:
            status = self.status(balancer)
            assert status != "ERROR", "the load balancer is in ERROR"
            return status == "ACTIVE"

        return wait_for(active, pause=pause)
