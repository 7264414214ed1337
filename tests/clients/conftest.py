"""Hydria as its clients meet it: a process of its own, real HTTP, the noop drivers below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import openstack
import pytest
from openstack.load_balancer.v2._proxy import Proxy

from tests.clients.neutron import network_service
from tests.clients.openstack_client import Openstack, clouds
from tests.clients.served import Served, served
from tests.keystone import Keystone


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


@pytest.fixture(scope="session")
def by_password(
    keystone: Keystone, neutron: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Openstack]:
    """The openstack client of an administrator who logs in with Keystone and finds Hydria in the catalog."""
    options = keystone.authtoken(token_cache_time=300)
    with served(tmp_path_factory.mktemp("keystone"), options, "auth_strategy = keystone") as running:
        keystone.endpoint("load-balancer", running.url)
        keystone.endpoint("network", neutron)
        admin = keystone.user(roles=["admin"], project="clients")
        token = {"X-Auth-Token": admin.token()}
        yield Openstack(running, admin.environment(), admin.project, identity=True, token=lambda: token)


@pytest.fixture(scope="session")
def by_keystone(
    by_password: Openstack, keystone: Keystone, neutron: str, tmp_path_factory: pytest.TempPathFactory
) -> Openstack:
    """The same with the token of one login: each costs Keystone half a second."""
    hydria = by_password.hydria
    cloud = {
        "auth_type": "admin_token",
        "auth": {"endpoint": hydria.url, "token": by_password.token()["X-Auth-Token"]},
        "network_endpoint_override": neutron,
        "identity_endpoint_override": keystone.url,
        "identity_api_version": "3",
    }
    environment = clouds(tmp_path_factory.mktemp("clouds"), "keystone", **cloud)
    return replace(by_password, environment=environment)


@pytest.fixture(scope="session", params=["noauth", "by_keystone"])
def cli(request: pytest.FixtureRequest) -> Openstack:
    """The openstack client, once for each way of saying who one is."""
    found: Openstack = request.getfixturevalue(request.param)
    return found
