"""Heartbeats of simulated amphorae, signed, over loopback, to one health manager program on MariaDB.

``AMPHORAE`` of them send ``RATE`` a second for ``SECONDS`` of each kind. One more, the probe, flips a member
every second: how long until its heartbeat is recorded, and until the member's status has changed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import socket
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from tests import services

from bench.controlplane import program
from bench.measure import cpu_seconds, memory, report, wait_for
from bench.scale import populate
from hydria.model.amphora import Amphora
from hydria.store import Store, rows, tables
from hydria.testing import trees as make
from hydria.wire import heartbeat
from hydria.wire.heartbeat import ListenerReport, Report

AMPHORAE, RATE, SECONDS = (
    int(os.environ.get(name, usual)) for name, usual in (("AMPHORAE", 1500), ("RATE", 300), ("SECONDS", 6))
)
PORT = 5555
TICK, LOOK, PROBE = 0.01, 0.05, 1.0  # seconds between sendings, looks at the database, flips of the probe


@dataclass(slots=True)
class Simulated:
    """One amphora: what it says next, and its key."""

    said: Report
    key: str

    def beat(self, **changes: Any) -> bytes:
        """The next heartbeat."""
        self.said = dataclasses.replace(self.said, sequence=self.said.sequence + 1, **changes)
        (datagram,) = heartbeat.encode(self.said, self.key)
        return datagram

    def steady(self) -> bytes:
        return self.beat()

    def counted(self) -> bytes:
        """With traffic since the last one."""
        more = {
            name: dataclasses.replace(
                item, bytes_in=item.bytes_in + 700, total_connections=item.total_connections + 3
            )
            for name, item in self.said.listeners.items()
        }
        return self.beat(listeners=more)

    def flapping(self) -> bytes:
        """As before, but for one in a hundred, of which a member has flipped."""
        return self.flipped() if random.random() < 0.01 else self.counted()

    def flipped(self) -> bytes:
        first, *_ = self.said.members
        word = "DOWN" if self.said.members[first] == "UP" else "UP"
        return self.beat(members=self.said.members | {first: word})


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        server = stack.enter_context(services.mariadb(durable=True))
        url = stack.enter_context(services.fresh_database(server))
        url = url.replace("mysql+pymysql", f"mysql+{os.environ.get('DRIVER', 'mysqldb')}")
        fleet = simulated(url)
        manager = stack.enter_context(program(directory, "health", ["health-manager"], url, "", 0))
        master = (directory / "heartbeat.key").read_text().strip()
        for one in fleet:
            one.key = heartbeat.derive_key(master, one.said.amphora_id)
        run = stack.enter_context(Run(fleet, url, manager, server.pid))
        run.warm()
        for what, say, goal in (
            ("nothing new", Simulated.steady, "0.27 + 0.27 ms"),
            ("counters moved", Simulated.counted, "0.27 + 0.27 ms (upstream 5.4 ms, 12 SQL)"),
            ("counters moved, 1 % with a flip", Simulated.flapping, "0.27 + 0.27 ms"),
        ):
            run.measure(what, say, goal)
        report("memory of the health manager", f"{memory(manager, 'Pss'):.0f} MB", "250 MB for 10,000")


def simulated(url: str) -> list[Simulated]:
    """The amphorae in the database, each with a load balancer of ten members."""
    found = populate(url, AMPHORAE + 1)
    store = Store(url)
    fleet = []
    made, watched = [], []
    members = _members(store)
    for number, each in enumerate(found):
        amphora_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"amphora-{number}"))
        one = Amphora(
            id=amphora_id, load_balancer_id=each["loadbalancer"], status="ALLOCATED", role="STANDALONE",
            applied_generation=1, created_at=make.EPOCH,
        )  # fmt: skip
        made.append(rows.to_row(Amphora, {name: getattr(one, name) for name in one.__struct_fields__}))
        watched.append({"amphora_id": amphora_id, "seen": time.time(), "epoch": 0, "sequence": 0})
        said = Report(
            amphora_id, 1, 1, 1, haproxy=True, listeners={each["listener"]: ListenerReport("OPEN")},
            pools={each["pool"]: "UP"}, members=dict.fromkeys(members[each["pool"]], "UP"),
        )  # fmt: skip
        fleet.append(Simulated(said, ""))
    store.transact(lambda tx: tx.execute(tables.amphorae.insert(), made))
    store.transact(lambda tx: tx.execute(tables.amphora_health.insert(), watched))
    store.close()
    return fleet


def _members(store: Store) -> dict[str, list[str]]:
    column, found = tables.members.c, {}
    with store.read() as tx:
        for pool, member in tx.execute(sa.select(column.pool_id, column.id)):
            found.setdefault(pool, []).append(member)
    return found


@dataclass(slots=True)
class Lags:
    """Seconds from a heartbeat of the probe until it was recorded, and until its flip was."""

    recorded: list[float] = field(default_factory=list)
    flipped: list[float] = field(default_factory=list)


class Run:
    """A fleet that sends, and the programs whose processor time that costs."""

    def __init__(self, fleet: list[Simulated], url: str, manager: int, database: int) -> None:
        *self._fleet, self._probe = fleet
        self._turns: Iterator[Simulated] = cycle(self._fleet)
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self._database = self._engine.connect()
        self._processes = manager, database
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()
        self._database.close()
        self._engine.dispose()

    def warm(self) -> None:
        """Everybody once, until that is recorded and evaluated."""
        for number, one in enumerate((*self._fleet, self._probe)):
            self._send(one.steady())
            if number % 50 == 0:
                time.sleep(0.02)
        began = time.monotonic()
        health = tables.amphora_health.c
        unheard = sa.select(sa.func.count()).where(health.sequence == 0)
        wait_for(lambda: self._database.execute(unheard).scalar_one() == 0, 60, 0.1)
        report("all heard for the first time", f"{time.monotonic() - began:.1f} s", "-")
        time.sleep(2)

    def measure(self, what: str, say: Callable[[Simulated], bytes], goal: str) -> None:
        """Send for a while, and say what that has cost."""
        before, asked = [cpu_seconds(process) for process in self._processes], self._questions()
        sent, looks, lags = self._run(say)
        statements = self._questions() - asked - looks - 1
        spent = [
            (cpu_seconds(process) - earlier) / sent * 1000
            for process, earlier in zip(self._processes, before, strict=True)
        ]
        figure = f"{spent[0]:.2f} + {spent[1]:.2f} ms, {statements / sent:.2f} SQL"
        report(f"{what}, {RATE}/s, manager + database", figure, goal)
        for name, times in (("recorded", lags.recorded), ("flip seen", lags.flipped)):
            middle, most = statistics.median(times), max(times)
            report(f"{what}: {name} after", f"{middle:.2f} s (to {most:.2f}, n={len(times)})", "2 s")

    def _run(self, say: Callable[[Simulated], bytes]) -> tuple[int, int, Lags]:
        sent = looks = 0
        lags = Lags()
        began = now = time.monotonic()
        probed, look_at = 0.0, 0.0
        recorded = flipped = True
        while now - began < SECONDS or not flipped:
            while now - began < SECONDS and sent < (now - began) * RATE:
                self._send(say(next(self._turns)))
                sent += 1
            if flipped and now - probed >= PROBE and now - began < SECONDS:
                self._send(self._probe.flipped())
                probed, recorded, flipped = time.monotonic(), False, False
            if not flipped and now >= look_at:
                looks, look_at = looks + 1, now + LOOK
                heard, seen = self._look()
                now = time.monotonic()
                if heard and not recorded:
                    recorded = True
                    lags.recorded.append(now - probed)
                if seen:
                    flipped = True
                    lags.flipped.append(now - probed)
                if now - probed > 60:
                    raise TimeoutError("a flip was not seen within 60 s")
            time.sleep(TICK)
            now = time.monotonic()
        return sent, looks, lags

    def _look(self) -> tuple[bool, bool]:
        """Whether the probe's last heartbeat is recorded, and whether its flip is."""
        first, *_ = self._probe.said.members
        health, member = tables.amphora_health.c, tables.members.c
        row = self._database.execute(
            sa.select(health.sequence, member.operating_status).where(
                health.amphora_id == self._probe.said.amphora_id, member.id == first
            )
        ).one()
        word = {"UP": "ONLINE", "DOWN": "ERROR"}[self._probe.said.members[first]]
        return row[0] >= self._probe.said.sequence, row[1] == word

    def _questions(self) -> int:
        row = self._database.execute(sa.text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()
        return int(row[1])

    def _send(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, ("127.0.0.1", PORT))
