"""Hydria as its clients meet it: a process of its own, real HTTP, the noop drivers below it."""

from __future__ import annotations

from collections.abc import Iterator

import openstack
import pytest
from openstack.load_balancer.v2._proxy import Proxy

from tests.clients.neutron import network_service
from tests.clients.openstack_client import Openstack, clouds
from tests.clients.served import Served, served


@pytest.fixture(scope="session")
def hydria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="session")
def sdk(hydria: Served) -> Proxy:
    """The load-balancer part of openstacksdk."""
    connection = openstack.connect(
        auth_type="none", auth={"endpoint": hydria.url}, load_yaml_config=False, load_envvars=False
    )
    found: Proxy = connection.load_balancer
    return found


@pytest.fixture(scope="session")
def neutron() -> Iterator[str]:
    with network_service() as url:
        yield url


@pytest.fixture(scope="session")
def noauth(hydria: Served, neutron: str, tmp_path_factory: pytest.TempPathFactory) -> Openstack:
    """The openstack client where nobody asks who it is."""
    cloud = {"auth_type": "none", "auth": {"endpoint": hydria.url}, "network_endpoint_override": neutron}
    return Openstack(hydria, clouds(tmp_path_factory.mktemp("clouds"), "noauth", **cloud))


@pytest.fixture(scope="session", params=["noauth"])
def cli(request: pytest.FixtureRequest) -> Openstack:
    """The openstack client, once for each way of saying who one is."""
    found: Openstack = request.getfixturevalue(request.param)
    return found
