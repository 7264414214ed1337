"""``openstack loadbalancer`` with a name and a password, over TLS, without Keystone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import bcrypt
import pytest

from tests import certificates
from tests.clients.openstack_client import Openstack, clouds
from tests.clients.served import QUIET, served

pytestmark = [pytest.mark.system, QUIET]
ROLES = "http_basic_admin_users = root\nhttp_basic_reader_users = eve\nhttp_basic_user_projects = eve:alice\n"


@pytest.fixture(scope="module")
def as_user(neutron: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Openstack]]:
    """The client of a user, with the password of the file or another."""
    directory = tmp_path_factory.mktemp("basic")
    users = directory / "htpasswd"
    users.write_text(
        "".join(
            f"{name}:{bcrypt.hashpw(name.encode() + b'!', bcrypt.gensalt(4)).decode()}\n"
            for name in ("root", "alice", "eve")
        )
    )
    users.chmod(0o600)
    bundle = certificates.make("localhost").file(directory, "api.pem")
    bundle.chmod(0o600)
    api = (
        f"auth_strategy = http_basic\nhttp_basic_auth_user_file = {users}\ntls_certificate_file = {bundle}\n"
    )
    with served(directory, api=api + ROLES) as hydria:

        def user(name: str, password: str = "") -> Openstack:
            cloud = {
                "auth_type": "http_basic",
                "auth": {
                    "endpoint": f"https://localhost:{hydria.deployment.port}",
                    "username": name,
                    "password": password or f"{name}!",
                },
                "network_endpoint_override": neutron,
                "cacert": str(bundle),
            }
            return Openstack(hydria, clouds(directory, name, **cloud), name)

        yield user


def test_owners_readers_and_strangers(as_user: Callable[..., Openstack]) -> None:
    alice, eve, root = as_user("alice"), as_user("eve"), as_user("root")
    # A provider that is done at once: nothing else of this file waits.
    made = alice(
        "loadbalancer create", "--name", "mine", "--vip-subnet-id", "subnet", "--provider", "noop_driver"
    )
    assert made["project_id"] == "alice"
    alice("loadbalancer listener create", "--name", "l", "--protocol", "TCP", "--protocol-port", 80, "mine")
    assert [each["id"] for each in eve("loadbalancer list")] == [made["id"]]
    assert eve("loadbalancer listener show", "l")["protocol_port"] == 80
    for refusal in (
        eve.refused("loadbalancer listener delete", "l"),
        eve.refused("loadbalancer set", "--name", "hers", "mine"),
        alice.refused("loadbalancer failover", "mine"),
        alice.refused("loadbalancer amphora list"),
    ):
        assert "Policy does not allow this request to be performed. (HTTP 403)" in refusal
    theirs = root(
        "loadbalancer create", "--name", "theirs", "--vip-subnet-id", "subnet", "--provider", "noop_driver"
    )
    assert {each["id"] for each in root("loadbalancer list")} == {made["id"], theirs["id"]}
    assert [each["id"] for each in alice("loadbalancer list")] == [made["id"]]
    alice("loadbalancer delete", "--cascade", "mine")
    root("loadbalancer delete", "theirs")
    assert root("loadbalancer list") == []


def test_who_does_not_know_the_password(as_user: Callable[..., Openstack]) -> None:
    for name, password in (("root", "guessed"), ("mallory", "mallory!")):
        assert "HTTP 401" in as_user(name, password).refused("loadbalancer list")
    done = as_user("root").process("loadbalancer list")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
