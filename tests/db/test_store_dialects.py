"""MariaDB and MySQL, by every form of URL, and what is refused."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from hydria.model.errors import Invalid
from hydria.model.load_balancer import LoadBalancer
from hydria.store import Store, schema
from hydria.testing import trees as make
from tests import services
from tests.databases import MYSQL
from tests.db import store_scene as scene
from tests.db.test_store_schema import differences
from tests.services import Service

pytestmark = pytest.mark.db

DRIVERS = ["mysql+pymysql", "mysql+mysqldb", "mariadb+pymysql", "mariadb+mysqldb"]
OTHER = make.identifier(LoadBalancer, 2)


def tables_are_there_and_compare_bytes(url: str) -> None:
    store = Store(url)
    try:
        schema.upgrade(store)
        schema.check(store)
        assert differences(store) == []
        scene.add(store)
        scene.add(store, make.load_balancer(2, name="lb-1 "))  # a blank at the end is another name
        for name, number in (("lb-1", 1), ("LB-1", 0), ("lb-1 ", 1)):
            with store.read() as tx:
                found = tx.execute(
                    sa.text("SELECT count(*) FROM load_balancers WHERE name = :name"), {"name": name}
                )
                assert found.scalar() == number
        schema.downgrade(store, "base")
    finally:
        store.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_mariadb(mariadb: Service, driver: str) -> None:
    with services.fresh_database(mariadb, driver=driver) as url:
        assert url.startswith(f"{driver}://")
        tables_are_there_and_compare_bytes(url)


if MYSQL:  # there is one on this machine

    @pytest.mark.parametrize("driver", DRIVERS[:2])
    def test_mysql(mysql: Service, driver: str) -> None:
        with services.fresh_database(mysql, driver=driver) as url:
            tables_are_there_and_compare_bytes(url)

    def test_mysql_is_not_called_mariadb(mysql: Service) -> None:
        with services.fresh_database(mysql, driver="mariadb+pymysql") as url:
            store = Store(url)
            for start in (schema.upgrade, schema.check):
                with pytest.raises(Invalid, match="begins with mariadb, but the server is MySQL"):
                    start(store)
            store.close()


@pytest.fixture
def called(mariadb: Service) -> Iterator[Service]:
    """A MariaDB that says that it is an old MySQL."""
    mariadb.stop()
    mariadb.command.append("--version=5.6.51-log")
    try:
        mariadb.start()
        yield mariadb
    finally:
        mariadb.stop()
        mariadb.command.pop()
        mariadb.start()


def test_a_server_that_is_too_old_is_refused_at_once(called: Service) -> None:
    with services.fresh_database(called) as url:
        store = Store(url)
        for start in (schema.upgrade, schema.check):
            with pytest.raises(Invalid, match=r"The database server is MySQL 5\.6\.51-log\. Hydria needs"):
                start(store)
        store.close()
