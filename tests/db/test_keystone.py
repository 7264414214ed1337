"""The Keystone that tests of identity stand on: users get tokens, of projects and of the system."""

import pytest

from tests.keystone import Keystone, User
from tests.services import ServiceError

pytestmark = pytest.mark.db


def validated(keystone: Keystone, token: str) -> dict:
    return keystone.ask("GET", "/auth/tokens", headers={"X-Subject-Token": token})["token"]


def roles(token: dict) -> set[str]:
    return {role["name"] for role in token["roles"]}


def test_project_and_system(keystone: Keystone) -> None:
    owner = keystone.user(roles=["member", "load-balancer_member"], project="p1")
    found = validated(keystone, owner.token())
    assert found["project"]["id"] == keystone.project("p1")
    assert roles(found) == {"member", "reader", "load-balancer_member"}
    assert validated(keystone, keystone.user(roles=["reader"], system=True).token())["system"] == {
        "all": True
    }
    assert roles(validated(keystone, keystone.service_user().token())) == {"service"}


def test_expiry_and_revocation(keystone: Keystone) -> None:
    user: User = keystone.user(roles=["reader"])
    token = user.token()
    validated(keystone, token)
    keystone.revoke(token)
    for worthless in (token, user.expired_token()):
        with pytest.raises(ServiceError, match="404"):
            validated(keystone, worthless)


def test_catalog(keystone: Keystone) -> None:
    for url in ("http://127.0.0.1:1/old", "http://127.0.0.1:1/new"):
        keystone.endpoint("dns", url)
    catalog = validated(keystone, keystone.user(roles=["reader"]).token())["catalog"]
    urls = {each["url"] for service in catalog if service["type"] == "dns" for each in service["endpoints"]}
    assert urls == {"http://127.0.0.1:1/new"}
