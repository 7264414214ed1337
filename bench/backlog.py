"""A backlog of pending updates, worked off by one worker and by three: noop drivers, MariaDB, no wake-ups.

In turns, on the same database. Once as fast as processors allow, which the database needs, too; and
once with amphorae that take a tenth of a second for an answer, for which a worker's threads wait.
``BACKLOG`` is how many load balancers, 300.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from tests import services

from bench.measure import cpu, report, wait_for
from bench.scale import populate
from hydria.model.amphora import Amphora
from hydria.store import Store, amphorae, tables
from hydria.testing import trees as make

SIZE = int(os.environ.get("BACKLOG", "300"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WORKERS = 3
ANSWER = 0.1  # seconds that an amphora takes
_LONGEST = 600.0
_FEW = "1"  # a sixteenth of all
# A worker whose amphorae take their time.
_PROGRAM = """
import sys, time
from hydria import cli
from hydria.drivers.amphora.noop import NoopAmphoraDriver
apply = NoopAmphoraDriver.apply
NoopAmphoraDriver.apply = lambda *given: (time.sleep(float(sys.argv[1])), apply(*given))[1]
sys.exit(cli.main(sys.argv[2:]))
"""


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydria-bench-")))
        server = stack.enter_context(services.mariadb(durable=True))
        url = stack.enter_context(services.fresh_database(server))
        populate(url, SIZE)
        scene = Scene(directory, url, server.pid, Store(url))
        stack.callback(scene.store.close)
        scene.add_amphorae()
        for answer in (0.0, ANSWER):
            compare(scene, answer)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: seconds, seconds of processor, statements, leases taken, load balancers by worker."""

    seconds: float
    workers: float
    database: float
    statements: int
    taken: int
    done: list[int]


def compare(scene: Scene, answer: float) -> None:
    """One worker and three, in turns; the ratios are those of neighbors."""
    runs = [(scene.run(1, answer), scene.run(WORKERS, answer)) for _ in range(ROUNDS)]
    says = f"amphorae that answer in {answer:g} s: " if answer else ""
    for number, few in ((1, True), (WORKERS, False)):
        figures = [pair[0] if few else pair[1] for pair in runs]
        what = f"{says}{SIZE} pending, {number} worker{'' if few else 's'}"
        middle = statistics.median
        report(
            what,
            f"{middle(each.seconds for each in figures):.1f} s, CPU"
            f" {middle(each.workers for each in figures):.1f} s + database"
            f" {middle(each.database for each in figures):.1f} s",
            "-",
        )
        statements = middle(each.statements for each in figures) / SIZE
        visits = middle(each.taken for each in figures) / SIZE
        report("  SQL statements and leases taken, each", f"{statements:.1f} and {visits:.2f}", "- and 1.00")
        report("  done by", " / ".join(map(str, figures[-1].done)), "-")
    faster = statistics.median(one.seconds / several.seconds for one, several in runs)
    more = statistics.median(several.statements / one.statements for one, several in runs)
    busier = statistics.median(several.workers / one.workers for one, several in runs)
    goal = "1.6 times where processors allow"
    report(f"{says}{WORKERS} workers are faster", f"{faster:.2f} times, {busier:.2f} times the CPU", goal)
    report(f"{says}{WORKERS} workers' SQL", f"{more:.2f} times that of one", "at most 1.15 times")


@dataclass(frozen=True, slots=True)
class Scene:
    """A database of load balancers that are ACTIVE."""

    directory: Path
    url: str
    database: int
    store: Store

    def add_amphorae(self) -> None:
        """Each gets one that serves, as far as the noop drivers know."""
        balancers = tables.load_balancers.c
        with self.store.read() as tx:
            found = list(tx.execute(sa.select(balancers.id)).scalars())

        def work(tx: sa.Connection) -> None:
            for each in found:
                name = f"a{each[1:]}"
                amphorae.add(
                    tx,
                    Amphora(
                        id=name, load_balancer_id=each, status="ALLOCATED", role="STANDALONE",
                        compute_id=f"noop-{name}", created_at=make.EPOCH, applied_generation=1,
                    ),
                )  # fmt: skip

        self.store.transact(work)

    def run(self, number: int, answer: float) -> Figures:
        """So many workers, on all load balancers at once."""
        with ExitStack() as stack:
            workers = [stack.enter_context(self.worker(each, answer)) for each in range(number)]
            self.work_off(few=True)  # connections are made, and what a program does once is done
            terms, asked = self.terms(), self.questions()
            used, database = sum(map(cpu, workers)), cpu(self.database)
            done = [self.done(each) for each in range(number)]
            took, looks = self.work_off()
            return Figures(
                took,
                sum(map(cpu, workers)) - used,
                cpu(self.database) - database,
                self.questions() - asked - looks,
                self.terms() - terms,
                [self.done(each) - before for each, before in enumerate(done)],
            )

    def work_off(self, *, few: bool = False) -> tuple[float, int]:
        """Seconds from the change of all, or of a few, until all are ACTIVE; and how often that was asked."""
        began = time.monotonic()
        self.change(_FEW if few else "")
        for asked in count(1):
            if not self.pending():
                return time.monotonic() - began, asked
            if time.monotonic() > began + _LONGEST:
                break
            time.sleep(0.1)
        raise TimeoutError(f"{self.pending()} are still pending after {_LONGEST:g} s")

    @contextmanager
    def worker(self, number: int, answer: float) -> Iterator[int]:
        """A worker program; its process id."""
        config = self.directory / f"worker{number}.conf"
        config.write_text(
            f"[DEFAULT]\nstate_dir = {self.directory}\n[database]\nconnection = {self.url}\n"
            "[health_manager]\nbind_ip = 127.0.0.1\n[controller_worker]\n"
            "amphora_driver = amphora_noop_driver\ncompute_driver = compute_noop_driver\n"
            "network_driver = network_noop_driver\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(answer)]
        with self.log(number).open("w") as log:
            process = subprocess.Popen(
                [*command, "worker", "--config-file", str(config)], stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_for(lambda: "is running" in self.log(number).read_text(), 30, 0.05)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def log(self, number: int) -> Path:
        return self.directory / f"worker{number}.log"

    def done(self, number: int) -> int:
        """How many load balancers a worker has brought up to date."""
        return self.log(number).read_text().count("configure of generation")

    def change(self, beginning: str) -> None:
        """Have something to apply to each whose id begins so: a member."""
        balancers, members = tables.load_balancers, tables.members
        update = {"provisioning_status": "PENDING_UPDATE"}

        def work(tx: sa.Connection) -> None:
            newer = balancers.c.generation + 1
            some = balancers.c.id.startswith(beginning)
            tx.execute(sa.update(balancers).where(some).values(update | {"generation": newer}))
            newest = (
                sa.select(balancers.c.generation)
                .where(balancers.c.id == members.c.load_balancer_id)
                .scalar_subquery()
            )
            first = sa.and_(
                members.c.address == "192.0.2.1", members.c.load_balancer_id.startswith(beginning)
            )
            tx.execute(sa.update(members).where(first).values(update | {"generation": newest}))

        self.store.transact(work)

    def pending(self) -> int:
        balancers = tables.load_balancers.c
        with self.store.read() as tx:
            query = sa.select(sa.func.count()).where(balancers.provisioning_status != "ACTIVE")
            return int(tx.execute(query).scalar_one())

    def terms(self) -> int:
        """How often all leases together were taken."""
        with self.store.read() as tx:
            return int(tx.execute(sa.select(sa.func.sum(tables.leases.c.term))).scalar_one())

    def questions(self) -> int:
        """What the server was asked by everybody."""
        with self.store.read() as tx:
            return int(tx.execute(sa.text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()[1])
