"""A store on each engine. Its schema is made once; each test finds it empty."""

from collections.abc import Iterator, Mapping

import pytest

from hydria.store import Store, schema, tables
from tests import services
from tests.databases import SERVERS

ENGINES = [
    "sqlite",
    *SERVERS,
    pytest.param("mariadb-mysqlclient", marks=pytest.mark.db),
]
# SQLAlchemy's names of the drivers that are not their server's usual ones.
DRIVERS: Mapping[str, str] = {"mariadb-mysqlclient": "mysql+mysqldb"}


@pytest.fixture(scope="session", params=ENGINES)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        yield from _opened(f"sqlite:///{tmp_path_factory.mktemp('store') / 'hydria.db'}")
        return
    server = request.getfixturevalue(request.param.partition("-")[0])
    with services.fresh_database(server, driver=DRIVERS.get(request.param)) as url:
        yield from _opened(url)


@pytest.fixture
def store(upgraded: Store) -> Iterator[Store]:
    yield upgraded
    with upgraded.writer.begin() as tx:
        for table in reversed(tables.metadata.sorted_tables):
            tx.execute(table.delete())


def _opened(url: str) -> Iterator[Store]:
    store = Store(url)
    schema.upgrade(store)
    yield store
    store.close()
