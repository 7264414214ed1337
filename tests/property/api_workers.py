"""What the real API of the random sequences stands on: an empty database, and workers that may be killed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hydria import settings as settings_module
from hydria.dataplane import Tuning
from hydria.drivers.amphora.noop import NoopAmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.errors import Refused
from hydria.store import Store, backlog, leases, schema, tables
from hydria.worker.converger import Converger
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.tools import Tools


class Template:
    """An empty database that each run copies, and one set of drivers."""

    def __init__(self) -> None:
        self.kept = tempfile.TemporaryDirectory(prefix="hydria-stateful-")  # as long as the process lives
        self.directory = Path(self.kept.name)
        store = Store(f"sqlite:///{self.directory / 'empty.db'}")
        schema.upgrade(store)
        store.close()

    def copy(self) -> Path:
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        shutil.copy(self.directory / "empty.db", directory / "hydria.db")
        return directory


class Agent(NoopAmphoraDriver):
    """Refuses what it is given while ``refusing``."""

    refusing = False

    def apply(self, amphora: Any, state: Any) -> Any:
        if self.refusing:
            raise Refused(f"Amphora {amphora.id} refused generation {state.generation}: no")
        return super().apply(amphora, state)


class Workers:
    """Workers on a database: one that lives, and ones that are killed at some statement."""

    def __init__(self, directory: Path) -> None:
        self.settings = settings_module.load(overrides={"DEFAULT": {"state_dir": str(directory)}})
        self.authority = LocalCertificateAuthority(self.settings)
        self.network = NoopNetworkDriver(self.settings)
        self.compute = NoopComputeDriver(self.settings)
        self.agent = Agent(self.settings, self.authority)
        self.store = Store(self.settings.database_url)
        self._numbers = itertools.count()

    def run(self, store: Store | None = None) -> None:
        """What a worker does that has just been started."""
        store = store or self.store
        tools = Tools(
            self.settings, store, self.network, self.compute, self.agent, self.authority,
            NoopCertificateManager(self.settings), Tuning(),
            ("127.0.0.1:5555",), "secret",
        )  # fmt: skip
        owner = f"worker:{os.getpid()}:{next(self._numbers)}"
        converger = Converger(tools, owner, LeaseKeeper(store, 30))
        balancers = tables.load_balancers
        # The others are dead, and no back-off is waited for.
        store.transact(lambda tx: leases.release_where(tx, lambda other: other != owner))
        store.transact(lambda tx: tx.execute(sa.update(balancers).values(retry_at=None)))
        with store.read() as tx:
            found = backlog.due(tx, time.time(), 1000)
        for each in found:
            converger.converge(each.load_balancer_id)

    def run_and_be_killed(self, statements: int) -> None:
        """A worker process that is killed as it is about to make one of its statements."""
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the worker has failed by itself"
            return
        status = 1
        try:
            store, left = Store(self.settings.database_url), itertools.count(-statements)

            def die(*_arguments: object) -> None:
                if next(left) >= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            for engine in (store.writer, store.reader):
                sa.event.listen(engine, "before_cursor_execute", die)
                sa.event.listen(engine, "commit", die)
            self.run(store)
            status = 0
        finally:
            os._exit(status)
