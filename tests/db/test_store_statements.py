"""What reading, writing and a worker's pass cost, counted by MariaDB itself: no statement but their own."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from hydria.model.amphora import AmphoraPort, PortAddress, Purpose
from hydria.model.load_balancer import LoadBalancer
from hydria.store import (
    Store,
    amphora_ports,
    amphorae,
    backlog,
    changes,
    leases,
    rows,
    schema,
    tables,
)
from hydria.testing import trees as make
from hydria.worker.converger import Converger, Result
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.ports import security
from hydria.worker.tools import Tools
from tests import services
from tests.db import store_scene as scene
from tests.services import Service

pytestmark = pytest.mark.db


@pytest.fixture
def store(mariadb: Service) -> Iterator[Store]:
    with services.fresh_database(mariadb) as url:
        made = Store(url)
        schema.upgrade(made)
        yield made
        made.close()


@contextmanager
def questions(store: Store) -> Iterator[list[int]]:
    """How many statements all other clients of the server have sent during the block."""
    store.ping()
    store.transact(lambda tx: tx.execute(sa.text("SELECT 1")))  # connections are made
    query = sa.text("SHOW GLOBAL STATUS LIKE 'Questions'")
    asked: list[int] = []
    engine = sa.create_engine(store.url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    with engine.connect() as observer:
        before = int(observer.execute(query).one()[1])
        yield asked
        asked.append(int(observer.execute(query).one()[1]) - before - 1)
    engine.dispose()


def test_a_read_is_its_query_and_a_write_has_a_commit(store: Store) -> None:
    """No ROLLBACK, no SET, and no ping as long as there is traffic."""
    scene.add(store)
    with questions(store) as asked:
        for _ in range(10):
            with store.read() as tx:
                rows.load_one(tx, LoadBalancer, make.BALANCER)
    assert asked == [10]
    with questions(store) as asked:
        for _ in range(10):
            store.transact(lambda tx: changes.touch(tx, changes.lock(tx, make.BALANCER)))  # type: ignore[arg-type]
    assert asked == [30], "SELECT FOR UPDATE, UPDATE, COMMIT"


def test_what_looks_at_leases_reads_those_that_are_held(store: Store) -> None:
    """A worker's start, and a look with nothing to do, cost the same however many load balancers there are."""
    many = [make.load_balancer(number) for number in range(1, 1001)]
    store.transact(lambda tx: rows.insert(tx, many))
    idle = [{"load_balancer_id": each.id, "term": 3, "expires_at": 0.0} for each in many]
    store.transact(lambda tx: tx.execute(tables.leases.insert(), idle))
    held = {"owner": "gone:1", "expires_at": 9e9}
    two = tables.leases.c.load_balancer_id.in_([many[3].id, many[7].id])
    store.transact(lambda tx: tx.execute(sa.update(tables.leases).where(two).values(held)))
    for name in ("leases", "load_balancers"):
        store.transact(lambda tx, name=name: tx.execute(sa.text(f"ANALYZE TABLE {name}")).all())
    assert store.transact(lambda tx: rows_read(tx, lambda: backlog.due(tx, 1e9, 100))) < 20
    freed: list[int] = []

    def free(tx: sa.Connection) -> int:
        return rows_read(tx, lambda: freed.append(leases.release_where(tx, lambda _: True)))

    assert store.transact(free) < 20
    assert freed == [2]


def rows_read(tx: sa.Connection, work: Callable[[], object]) -> int:
    """How many rows and keys the server reads for it."""

    def read() -> int:
        found = tx.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
        return sum(int(value) for _, value in found)

    before, idle = read(), read()
    work()
    return read() - idle - (idle - before)


# Of the pass that follows the addition of a member to a pool that a listener uses.
PASS = [
    "UPDATE leases",
    "SELECT load_balancers",
    "SELECT listeners",
    "SELECT pools",
    "SELECT members",
    "SELECT health_monitors",
    "SELECT amphorae",
    "SELECT load_balancers",
    "UPDATE leases",
    "UPDATE amphorae",
    "UPDATE members",
    "UPDATE pools",
    "UPDATE listeners",
    "UPDATE load_balancers",
]
COMMITS = ["lease", "record"]


def test_a_pass_of_the_worker(store: Store, tmp_path: Path) -> None:
    overrides = {"DEFAULT": {"state_dir": str(tmp_path)}}
    settings = settings_module.load(overrides=overrides)
    authority = LocalCertificateAuthority(settings)
    tools = Tools(
        settings, store, NoopNetworkDriver(settings), NoopComputeDriver(settings), NoopAmphoraDriver(settings, authority),
        authority, NoopCertificateManager(settings), Tuning(), ("127.0.0.1:5555",), "secret",
    )  # fmt: skip
    converger = Converger(tools, "me:1", LeaseKeeper(store, 30))
    _add_member(store)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        verb, table = re.match(r"(SELECT|UPDATE|INSERT INTO|DELETE FROM)\s.*?(\w+)", statement).groups()  # type: ignore[union-attr]
        statements.append(f"{verb} {table}")

    for engine in (store.writer, store.reader):
        sa.event.listen(engine, "before_cursor_execute", note)
    with questions(store) as asked:
        assert converger.converge(make.BALANCER).result is Result.DONE
    passed = statements[-len(PASS) :]  # after those that `questions` makes
    tree = scene.tree(store)
    assert {str(item.provisioning_status) for item in (tree.load_balancer, *tree.children())} == {"ACTIVE"}
    assert passed == PASS
    assert asked == [len(PASS) + len(COMMITS)]
    assert len(PASS) <= 15


def _add_member(store: Store) -> None:
    scene.add(store, make.load_balancer(applied_generation=1), *make.web().children(), make.listener(2))
    scene.add_amphora(store, scene.amphora(compute_id="c", applied_generation=1, vrrp_port_id=make.POOL))
    balancer = make.load_balancer()
    address = PortAddress("192.0.2.7/24", "192.0.2.1")
    port = AmphoraPort(
        make.POOL,
        scene.AMPHORA,
        Purpose.VIP,
        make.POOL,
        "02:00:00:00:00:01",
        1500,
        (address,),
        security(balancer),
    )
    store.transact(lambda tx: amphora_ports.record(tx, scene.AMPHORA, [port]))

    def work(tx: sa.Connection) -> None:
        balancer = changes.lock(tx, make.BALANCER)
        assert balancer is not None
        member = make.member(3, provisioning_status="PENDING_CREATE", generation=2)
        rows.insert(tx, [member])
        changes.touch(tx, balancer)
        changes.touch_objects(tx, make.Pool, [make.POOL], 2)
        changes.touch_objects(tx, make.Listener, [make.LISTENER], 2)

    store.transact(work)
    store.transact(lambda tx: amphorae.watch(tx, scene.AMPHORA, 1.0))
