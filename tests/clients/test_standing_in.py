"""Clients of Neutron and Barbican at Hydria's own roots: openstacksdk, the openstack command, barbicanclient."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack
import pytest
from barbicanclient import client as barbican
from barbicanclient import exceptions as refusals
from keystoneauth1 import session
from keystoneauth1.identity import v3
from openstack.connection import Connection

from tests.clients.served import QUIET
from tests.clients.standing_in import WEB, StandingIn, standing_in
from tests.keystone import PASSWORD, Keystone, User

pytestmark = QUIET


@pytest.fixture(scope="module")
def noauth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingIn]:
    with standing_in(tmp_path_factory.mktemp("standing-in"), "default") as running:
        yield running


@pytest.fixture(scope="module")
def member(keystone: Keystone) -> User:
    return keystone.user(roles=["member"], project="standing-in")


@pytest.fixture(scope="module")
def by_catalog(
    keystone: Keystone, member: User, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StandingIn]:
    """With Keystone, in whose catalog both roots are."""
    directory = tmp_path_factory.mktemp("standing-in")
    token = keystone.authtoken(token_cache_time=300)
    with (
        standing_in(directory, member.project_id, "auth_strategy = keystone", token) as running,
        catalogued(keystone, "network", f"{running.url}/network"),
        catalogued(keystone, "key-manager", f"{running.url}/key-manager"),
    ):
        yield running


@contextmanager
def catalogued(keystone: Keystone, service_type: str, url: str) -> Iterator[None]:
    """A service in the catalog, which other tests share, and afterwards whatever was there before."""

    def services() -> list[str]:
        return [each["id"] for each in keystone.ask("GET", f"/services?type={service_type}")["services"]]

    before = [
        endpoint["url"]
        for service in services()
        for endpoint in keystone.ask("GET", f"/endpoints?service_id={service}&interface=public")["endpoints"]
    ]
    keystone.endpoint(service_type, url)
    try:
        yield
    finally:
        for former in before:
            keystone.endpoint(service_type, former)
        for service in () if before else services():
            keystone.ask("DELETE", f"/services/{service}")


def connect_noauth(running: StandingIn) -> Connection:
    return openstack.connect(
        auth_type="none", auth={"endpoint": running.url}, load_yaml_config=False, load_envvars=False,
        **running.overrides,
    )  # fmt: skip


def connect_keystone(member: User) -> Connection:
    return openstack.connect(
        auth_url=member.keystone.url, username=member.name, password=PASSWORD, project_id=member.project_id,
        user_domain_id="default", region_name="RegionOne", load_yaml_config=False, load_envvars=False,
    )  # fmt: skip


@pytest.fixture(params=["noauth", "by_catalog"])
def cloud(request: pytest.FixtureRequest) -> tuple[Connection, StandingIn]:
    running = request.getfixturevalue(request.param)
    if request.param == "noauth":
        return connect_noauth(running), running
    return connect_keystone(request.getfixturevalue("member")), running


def test_networks_of_openstacksdk(cloud: tuple[Connection, StandingIn]) -> None:
    network, running = cloud[0].network, cloud[1]
    ids = [each.id for each in running.networks]
    for limit in (1, 2, 3):  # "Endless pagination loop detected", where limit and marker were not heard
        assert [each.id for each in network.networks(limit=limit)] == ids
        assert len(list(network.subnets(limit=limit))) == 3
    assert [each.cidr for each in network.subnets(ip_version=4)] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert [each.id for each in network.networks(is_shared=True, is_router_external=False)] == ids
    assert list(network.networks(is_router_external=True)) == []
    assert list(network.networks(project_id="nobody")) == []
    assert [
        each.ip_version for each in network.subnets(network_id=ids[0], sort_key="cidr", sort_dir="desc")
    ] == [6, 4]
    assert network.find_network(running.networks[1].name).subnet_ids == list(running.networks[1].subnet_ids)
    assert network.find_subnet("nothing") is None
    assert list(network.extensions()) == list(network.ips(limit=1)) == []
    assert network.find_extension("router") is None


def test_ports_of_openstacksdk(noauth: StandingIn, by_catalog: StandingIn, member: User) -> None:
    (port,) = connect_keystone(member).network.ports(limit=1)  # another project's is there as well
    assert (port.project_id, port.device_id, port.device_owner) == (member.project_id, "lb-0", "Octavia")
    assert port.fixed_ips[0]["ip_address"] == by_catalog.vip
    everywhere = connect_noauth(noauth).network
    assert {each.project_id for each in everywhere.ports(limit=1)} == {"default", "another"}
    (mine,) = everywhere.ports(fixed_ips=f"ip_address={noauth.vip}")
    assert everywhere.get_port(mine.id) == mine


def test_secrets_of_openstacksdk(cloud: tuple[Connection, StandingIn]) -> None:
    """As octavia-dashboard asks, and joins what it hears."""
    manager = cloud[0].key_manager
    secrets = {each.secret_ref: each for each in manager.secrets()}
    containers = list(manager.containers(type="certificate"))
    assert [each.container_ref for each in containers] == ["local://store/api", "local://store/web"]
    for each in containers:
        refs = {part["name"]: part["secret_ref"] for part in each.secret_refs}
        assert secrets[refs["certificate"]].name == each.name
        assert "private_key" in refs
    assert sorted(each.name for each in secrets.values()) == ["api", "ca", "web"]
    assert [each.name for each in manager.secrets(limit=1)] == ["api", "ca", "web"]
    assert manager.get_secret(next(iter(secrets.values())).secret_id).payload is None
    (web,) = manager.secrets(name="web")
    assert web.expires_at == f"{WEB.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%S}"


@pytest.fixture(params=["noauth", "by_catalog"])
def secrets(request: pytest.FixtureRequest) -> Any:
    """python-barbicanclient."""
    running: StandingIn = request.getfixturevalue(request.param)
    if request.param == "noauth":
        return barbican.Client(endpoint=f"{running.url}/key-manager", project_id="default")
    user: User = request.getfixturevalue("member")
    login = v3.Password(
        auth_url=user.keystone.url, username=user.name, password=PASSWORD, project_id=user.project_id,
        user_domain_id="default",
    )  # fmt: skip
    return barbican.Client(session=session.Session(auth=login), region_name="RegionOne")


def test_lists_of_barbicanclient(secrets: Any) -> None:
    assert [each.name for each in secrets.secrets.list()] == ["api", "ca", "web"]
    assert [each.name for each in secrets.secrets.list(limit=1, offset=1)] == ["ca"]
    assert secrets.secrets.list(name="web")[0].expiration == WEB.certificate.not_valid_after_utc
    assert secrets.secrets.list(secret_type="symmetric") == []
    assert secrets.secrets.total() == 3
    found = secrets.containers.list(type="certificate")
    assert [each.container_ref for each in found] == ["local://store/api", "local://store/web"]
    assert [each.certificate.name for each in found] == ["api", "web"]
    with pytest.raises(refusals.HTTPClientError, match="is given to nobody: secrets are kept here"):
        secrets.secrets.get(secrets.secrets.list()[0].secret_ref, payload_content_type="text/plain").payload  # noqa: B018
    with pytest.raises(refusals.HTTPClientError, match="Method Not Allowed"):
        secrets.secrets.create(name="mine", payload="x").store()


def test_the_openstack_command(noauth: StandingIn) -> None:
    def run(*words: str, root: str = "") -> Any:
        environment = {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": f"{noauth.url}{root}"}
        line = [Path(sys.executable).with_name("openstack"), *words, "-f", "json"]
        done = subprocess.run(
            line, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    for root in ("/network", ""):  # also where one endpoint is for everything
        assert [each["ID"] for each in run("network", "list", root=root)] == [
            each.id for each in noauth.networks
        ]
        assert [each["Subnet"] for each in run("subnet", "list", "--ip-version", "4", root=root)] == [
            "10.0.0.0/24",
            "10.0.1.0/24",
        ]
    assert {each["Name"] for each in run("port", "list", root="/network")} == {"vip-0", "vip-1"}
    name = noauth.networks[0].name
    assert run("network", "show", name, root="/network")["subnets"] == list(noauth.networks[0].subnet_ids)
    assert run("floating", "ip", "list", root="/network") == []
