"""Hundreds of random changes under mixed load: what fails, how many reload HAProxy, what memory stays behind.

``CHANGES`` and ``SEED`` in the environment choose how many and which, ``RATE`` the requests a second.
"""

from __future__ import annotations

import os
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import random_changes
from bench.machine import Machine, amphora_processes, machine, mixed_load, namespaces, web_server
from bench.measure import Client, memory, report, spread, wait_for
from bench.random_changes import HTTP, TCP, TLS, UDP, Changes

BASE, EXTRA = range(8001, 8004), range(8100, 8200)
RATE = int(os.environ.get("RATE", "500"))
BURST = 30
HARD_STOP_AFTER = 900  # so that connections live as long as the run
OPTIONS = f"""
[haproxy_amphora]
hard_stop_after = {HARD_STOP_AFTER}
[certificates]
renewal_interval = 0.5
"""
_APPLIED = re.compile(r"generation \d+ applied in (\d+) ms: (.*)")


@dataclass
class Record:
    """What one change did: ``at`` wall time, ``seconds`` until ACTIVE, ``applied``: the agent's sentences."""

    kind: str
    at: float
    seconds: float
    applied: list[str]

    @property
    def reloads(self) -> int:
        return sum("HAProxy reloaded" in sentence for sentence in self.applied)


@dataclass
class Run:
    """Changes made one after another, each awaited. ``certificate`` renews it until it is shown."""

    changes: Changes
    client: Any
    log: Callable[[], str]
    certificate: Callable[[], None]
    records: list[Record] = field(default_factory=list)

    def make(self, count: int) -> None:
        every = len(self.changes.kinds)  # renewals come as often as each of the other kinds
        seen = len(self.log())
        for number in range(count):
            at, began = time.time(), time.monotonic()
            if number % (every + 1) == every // 2:
                kind = "certificate renew"
                self.certificate()
            else:
                kind = self.changes.one()
            self.client.await_active(self.changes.id, pause=0.005)
            text = self.log()
            said = [found[2] for found in _APPLIED.finditer(text, seen)]
            seen = len(text)
            self.records.append(Record(kind, at, time.monotonic() - began, said))

    def burst(self, count: int) -> int:
        """Changes of the structure that nobody waits for; how often HAProxy was reloaded for them."""
        seen = len(self.log())
        for _ in range(count):
            self.changes.restructure()
        self.client.await_active(self.changes.id, pause=0.005)
        return self.log().count("HAProxy reloaded", seen)

    def before(self, at: float) -> str:
        """The latest change that had begun at a time."""
        found = [record for record in self.records if record.at <= at]
        return f"{found[-1].kind}: {found[-1].applied}" if found else "-"


def own_failures(result: dict[str, Any], changes: Changes) -> list[dict[str, Any]]:
    """The failures that nothing excuses.

    Connections of members that were removed may end.
    """
    excused = {"websocket": changes.removed, "tcp": changes.removed}
    return [one for one in result["failures"] if one["member"] not in excused.get(one["kind"], ())]


def main() -> None:
    seed = int(os.environ.get("SEED", "0")) or int(time.time())
    count = int(os.environ.get("CHANGES", "500"))
    with (
        machine(OPTIONS) as running,
        web_server(running.gateway, f"{BASE[0]}-{BASE[-1]}", "base"),
        web_server(running.gateway, f"{EXTRA[0]}-{EXTRA[-1]}", "extra"),
    ):
        client = Client()
        renew = Renewal(running)
        changes = Changes(client.call, running.gateway, [running.gateway], EXTRA, seed)
        renew.keep()
        changes.order(BASE, "local:web")
        client.await_active(changes.id)
        changes.extend(BASE)
        client.await_active(changes.id)
        renew.address = changes.address
        (namespace,) = namespaces(running)
        spec = load_of(changes)
        with mixed_load(spec):
            time.sleep(3)  # what the load itself takes shall be part of the memory before
        wait_for(lambda: not fork_servers(), 90, 0.5)  # else it bears a part of the amphora's memory
        before = shares(namespace, 30)
        run = Run(changes, client, lambda: agent_log(running), renew)
        most = 0
        began = time.monotonic()
        with mixed_load(spec) as result:
            run.make(count)
            took = time.monotonic() - began
            most = len(haproxies(namespace))
            burst = run.burst(BURST)
            changes.tidy()
            client.await_active(changes.id)
        after = shares(namespace, 60)
        tell(run, result, seed, took)
        report(f"{BURST} changes of timeouts at once: reloads", f"{burst}", "few")
        left = len(haproxies(namespace))
        report("HAProxy processes at the end, and after the load", f"{most}, {left}", "bounded, 1")
        figure = f"{sum(before.values()):.1f} and {sum(after.values()):.1f} MB PSS"
        report("amphora before and after: memory", figure, "within 10 %")
        for name in sorted({*before, *after}):
            print(f"    {name:28} {before.get(name, 0):6.1f} and {after.get(name, 0):6.1f} MB", flush=True)


@dataclass
class Renewal:
    """The certificate ``local:web``, renewed by the command."""

    running: Machine
    address: str = ""

    def keep(self, *more: str) -> str:
        from tests import certificates

        made, directory = certificates.make("www.example.org"), self.running.directory
        (directory / "web.pem").write_text(made.pem)
        (directory / "web.key").write_text(made.key_pem)
        command = [sys.executable, "-m", "hydria.cli", "certificate", "add", "web"]
        files = ["--certificate", f"{directory}/web.pem", "--private-key", f"{directory}/web.key"]
        where = ["--config-file", f"{directory}/hydria.conf"]
        subprocess.run([*command, *files, *where, *more], check=True, capture_output=True, timeout=60)
        return made.pem

    def __call__(self) -> None:
        wanted = self.keep("--replace")
        for port in (TLS, random_changes.TLS_TOO):
            wait_for(lambda port=port: self.shown(port) == wanted, 30, 0.05)

    def shown(self, port: int) -> str:
        with suppress(OSError):
            return ssl.get_server_certificate((self.address, port), timeout=5)
        return ""


def load_of(changes: Changes, rate: int = RATE) -> dict[str, Any]:
    """What to ask of ``bench.mixed``."""
    udp = {"udp": UDP} if UDP in changes.listeners else {}
    return {"address": changes.address, "rate": rate, "http": HTTP, "tls": TLS, "tcp": TCP, **udp}


def agent_log(running: Machine) -> str:
    return "".join(log.read_text() for log in running.directory.glob("amphorae/*/agent.log"))


def haproxies(namespace: str) -> list[int]:
    found = []
    for process in amphora_processes(namespace):
        with suppress(OSError):
            if Path(f"/proc/{process}/comm").read_text().strip() == "haproxy":
                found.append(process)
    return found


def fork_servers() -> list[Path]:
    """Processes that amphorae are forked from; one ends when there has been no order for a minute."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"hydria.drivers.compute.fork_server" in (process / "cmdline").read_bytes():
                found.append(process)
    return found


def settled(namespace: str, seconds: float) -> float:
    """The memory of an amphora, MB, once retired processes have ended."""
    return sum(shares(namespace, seconds).values())


def shares(namespace: str, seconds: float) -> dict[str, float]:
    """The same by the programs' names."""
    with suppress(TimeoutError):
        wait_for(lambda: len(haproxies(namespace)) <= 1, seconds, 0.1)
    time.sleep(1)  # for connections that have just closed to give their memory back
    found: dict[str, float] = defaultdict(float)
    processes = amphora_processes(namespace)
    for place, process in enumerate(sorted(processes)):
        name = Path(f"/proc/{process}/comm").read_text().strip()
        found[name if name == "haproxy" else f"{name} {place}"] += memory(process, "Pss")
    return dict(found)


def tell(run: Run, result: dict[str, Any], seed: int, took: float) -> None:
    failures = own_failures(result, run.changes)
    records = run.records
    total = sum(result["done"].values())
    report(f"{len(records)} changes in {took:.0f} s, seed {seed}: requests", f"{total}", "-")
    for kind in sorted(result["done"]):
        failed = sum(one["kind"] == kind for one in failures)
        report(f"  {kind}", f"{result['done'][kind]}, {failed} failed", "0 failed")
    ended = len(result["failures"]) - len(failures)
    report("failures, and those of members taken out of service", f"{len(failures)}, {ended}", "0, -")
    report("change → ACTIVE", spread(record.seconds for record in records), "-")
    reloads = sum(record.reloads for record in records)
    report("reloads", f"{reloads} of {len(records)} changes", "-")
    by_kind: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_kind[record.kind].append(record)
    for kind, of_kind in sorted(by_kind.items()):
        reloaded = sum(bool(record.reloads) for record in of_kind)
        median = statistics.median(record.seconds for record in of_kind) * 1000
        print(f"    {kind:28} {reloaded:3} of {len(of_kind):3} reloaded, {median:6.0f} ms", flush=True)
    for what, times in Counter(f"{one['kind']}: {one['what']}" for one in failures).most_common(20):
        print(f"    {times} x {what}")
    for one in failures[:20]:
        print("   ", one, "after", run.before(one["at"]))
