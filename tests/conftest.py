"""Fixtures for all levels of tests: a server starts when first asked for and ends with the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import keystone as identity
from tests import services
from tests.databases import SERVERS


@pytest.fixture(scope="session")
def mariadb() -> Iterator[services.Service]:
    with services.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[services.Service]:
    with services.mysql() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[services.Service]:
    with services.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[services.Service]:
    with services.rabbitmq() as server:
        yield server


@pytest.fixture(scope="session")
def keystone() -> Iterator[identity.Keystone]:
    with identity.keystone() as server:
        yield server


@pytest.fixture(
    params=["sqlite", *SERVERS],
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the test's own, on each of the engines in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hydria.db'}"
        return
    with services.fresh_database(request.getfixturevalue(request.param)) as url:
        yield url
