"""Several workers on one database, each with connections of its own, as on several hosts."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria import settings as settings_module
from hydria.dataplane import Tuning
from hydria.drivers.amphora.noop import NoopAmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.messages import LocalWakeups
from hydria.store import Store, changes, tables
from hydria.testing import trees as make
from hydria.worker.program import Worker
from hydria.worker.tools import Tools
from tests.db import store_scene as scene

WORKERS, SIZE = 3, 90


@pytest.fixture
def workers(store: Store, tmp_path: Path) -> Iterator[list[Worker]]:
    """Not started; stopped in the end."""
    with ExitStack() as stack:
        made = []
        for number in range(WORKERS):
            directory = tmp_path / str(number)
            directory.mkdir()
            overrides = {
                "DEFAULT": {"state_dir": str(directory), "host": f"host{number}"},
                "controller_worker": {"poll_interval": "0.1", "retry_initial": "0.1"},
            }
            settings = settings_module.load(overrides=overrides)
            own = Store(store.url.render_as_string(hide_password=False))
            stack.callback(own.close)
            authority = LocalCertificateAuthority(settings)
            tools = Tools(
                settings, own, NoopNetworkDriver(settings), NoopComputeDriver(settings),
                NoopAmphoraDriver(settings, authority), authority, NoopCertificateManager(settings), Tuning(),
                ("127.0.0.1:5555",), "secret",
            )  # fmt: skip
            made.append(Worker(tools, LocalWakeups()))
        yield made
        for worker in made:
            worker.stop()


def add(store: Store) -> None:
    """Load balancers that are to be made, all at once."""
    balancers = [
        make.load_balancer(number, provisioning_status="PENDING_CREATE", generation=1, applied_generation=0)
        for number in range(1, SIZE + 1)
    ]

    def work(tx: sa.Connection) -> None:
        for balancer in balancers:
            changes.add_load_balancer(tx, balancer)

    store.transact(work)


def test_each_load_balancer_is_visited_once(store: Store, workers: list[Worker]) -> None:
    add(store)
    for worker in workers:
        worker.start()
    lease, status = tables.leases.c, tables.load_balancers.c.provisioning_status
    deadline = time.monotonic() + 120
    while scene.column(store, status, status != "ACTIVE") or scene.column(
        store, lease.owner, lease.owner.is_not(None)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # Once each, but for what one has given back since the machine stood still.
    assert sum(scene.column(store, lease.term)) < 1.5 * SIZE
    assert len(scene.column(store, tables.amphorae.c.id)) == SIZE
