"""The database goes and comes back: the store says Unavailable, nothing else, and then goes on by itself."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from hydria.model.errors import Unavailable
from hydria.model.load_balancer import LoadBalancer
from hydria.store import Store, changes, rows, schema
from hydria.testing import trees as make
from tests import services
from tests.databases import MYSQL
from tests.db import store_scene as scene
from tests.db.conftest import DRIVERS
from tests.services import Service

pytestmark = pytest.mark.db


@pytest.fixture(params=["mariadb", "mariadb-mysqlclient", "postgresql", *MYSQL])
def engine(request: pytest.FixtureRequest) -> str:
    """A server, and a driver after a dash where it is not its usual one."""
    name: str = request.param
    return name


@pytest.fixture
def server(request: pytest.FixtureRequest, engine: str) -> Iterator[Service]:
    found = request.getfixturevalue(engine.partition("-")[0])
    yield found
    found.start()


@pytest.fixture
def store(server: Service, engine: str) -> Iterator[Store]:
    with services.fresh_database(server, driver=DRIVERS.get(engine)) as url:
        made = Store(url)
        schema.upgrade(made)
        scene.add(made)
        yield made
        made.close()


def read(store: Store) -> None:
    with store.read() as tx:
        assert rows.load_one(tx, LoadBalancer, make.BALANCER) is not None


def write(store: Store) -> None:
    def work(tx: sa.Connection) -> None:
        balancer = changes.lock(tx, make.BALANCER)
        assert balancer is not None
        changes.touch(tx, balancer)

    store.transact(work)


class Client(threading.Thread):
    """Does the same thing over and over, and counts what came of it by name."""

    def __init__(self, store: Store, work: Callable[[Store], None]) -> None:
        super().__init__(daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.ended = threading.Event()
        self._store, self._work = store, work

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self._work(self._store)
            except Exception as error:  # noqa: BLE001  (that is what the test is about)
                self.outcomes[type(error).__name__] += 1
                time.sleep(0.01)  # no sooner again, as clients would
            else:
                self.outcomes["done"] += 1

    def succeeds(self, more: int = 3) -> None:
        """Wait for some more successes."""
        aim, deadline = self.outcomes["done"] + more, time.monotonic() + 10
        while self.outcomes["done"] < aim:
            assert time.monotonic() < deadline, self.outcomes
            time.sleep(0.01)


def test_a_database_that_is_away_for_seconds(server: Service, store: Store) -> None:
    clients = [Client(store, work) for work in (read, read, read, write, write, write)]
    before = scene.balancer(store).generation
    for client in clients:
        client.start()
    for client in clients:
        client.succeeds()
    server.stop()
    away = time.monotonic()
    for client in clients:
        _until(lambda client=client: client.outcomes["Unavailable"] >= 3)
    time.sleep(max(0.0, away + 2 - time.monotonic()))  # the length of the outage, not a wait for something
    failed = sum(client.outcomes.total() - client.outcomes["done"] for client in clients)
    server.start()
    for client in clients:
        client.succeeds()
        client.ended.set()
    for client in clients:
        client.join(10)
        assert set(client.outcomes) == {"done", "Unavailable"}
    assert failed > 18
    # Each write that was acknowledged is there once; of those that were not, some may be.
    written = [client.outcomes for client in clients[3:]]
    done, unknown = (sum(outcome[name] for outcome in written) for name in ("done", "Unavailable"))
    assert done <= scene.balancer(store).generation - before <= done + unknown


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_resting_connections_are_found_dead_before_a_request_gets_them(server: Service, store: Store) -> None:
    together = threading.Barrier(8)

    def warm(_: int) -> None:
        with store.read() as tx, store.writer.connect() as other:
            tx.execute(sa.text("SELECT 1"))
            other.execute(sa.text("SELECT 1"))
            together.wait(10)

    scene.at_once(8, warm)
    rested = time.monotonic() + 1.1
    server.kill()
    server.start()
    _until(lambda: time.monotonic() > rested)
    scene.at_once(8, lambda number: (read if number % 2 else write)(store))


def test_at_most_one_request_fails_after_a_restart_that_nobody_noticed(server: Service, store: Store) -> None:
    """The server may be back before a connection has rested long enough to be asked."""
    for work in (read, write):
        work(store)
    server.kill()
    server.start()
    failures = 0
    for work in (read, write, read, write):
        try:
            work(store)
        except Unavailable:
            failures += 1
    assert failures <= 1


def test_what_is_open_when_the_server_dies(server: Service, store: Store) -> None:
    def dies(tx: sa.Connection) -> None:
        changes.lock(tx, make.BALANCER)
        server.kill()
        changes.lock(tx, make.BALANCER)

    with pytest.raises(Unavailable, match="The database does not answer") as raised:
        store.transact(dies)
    assert isinstance(raised.value.__cause__, sa.exc.DBAPIError)
    with pytest.raises(Unavailable):
        store.ping()
    server.start()
    write(store)

    def dies_before_the_commit(tx: sa.Connection) -> None:
        changes.touch(tx, scene.balancer(store))
        server.kill()

    with pytest.raises(Unavailable):
        store.transact(dies_before_the_commit)
    server.start()
    write(store)
    assert scene.balancer(store).generation == 3


def test_a_connection_that_an_administrator_ends(server: Service, store: Store) -> None:
    def killed(tx: sa.Connection) -> None:
        changes.lock(tx, make.BALANCER)
        _end_all(server, store)
        changes.lock(tx, make.BALANCER)

    with pytest.raises(Unavailable):
        store.transact(killed)
    write(store)


def _end_all(server: Service, store: Store) -> None:
    name = store.url.database
    find, end = (
        (f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'", "SELECT pg_terminate_backend({})")
        if store.writer.dialect.name == "postgresql"
        else (f"SELECT id FROM information_schema.processlist WHERE db = '{name}'", "KILL {}")
    )
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as administrator:
        for process in administrator.exec_driver_sql(find).scalars().all():
            administrator.exec_driver_sql(end.format(process))
    engine.dispose()
