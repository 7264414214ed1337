"""openstacksdk against a running Hydria: L7 policies and rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.load_balancer.v2._proxy import Proxy
from openstack.load_balancer.v2.l7_policy import L7Policy
from openstack.load_balancer.v2.listener import Listener

from tests.clients.served import QUIET, SUBNET, settled

pytestmark = [pytest.mark.system, QUIET]


@pytest.fixture(scope="module")
def listener(sdk: Proxy) -> Iterator[Listener]:
    """A listener of a load balancer of its own."""
    made = sdk.create_load_balancer(name="l7", vip_subnet_id=SUBNET)
    web = sdk.create_listener(name="l7", protocol="HTTP", protocol_port=80, load_balancer_id=made.id)
    yield settled(sdk, web)
    sdk.delete_load_balancer(made, cascade=True)
    sdk.wait_for_delete(made, interval=0.05, wait=20)


def order(sdk: Proxy, listener: Listener) -> list[tuple[str, int]]:
    """Names and positions of the policies of the listener."""
    found = sdk.l7_policies(listener_id=listener.id)
    return sorted(((each.name, each.position) for each in found), key=lambda pair: pair[1])


def test_policies(sdk: Proxy, listener: Listener) -> None:
    first = sdk.create_l7_policy(
        name="first", listener_id=listener.id, action="REDIRECT_TO_URL", redirect_url="https://example.org/",
        tags=["t"],
    )  # fmt: skip
    assert (first.position, first.redirect_url, first.rules) == (1, "https://example.org/", [])
    settled(sdk, first)
    second = sdk.create_l7_policy(name="second", listener_id=listener.id, action="REJECT")
    front = sdk.create_l7_policy(
        name="front", listener_id=listener.id, action="REDIRECT_PREFIX",
        redirect_prefix="https://example.org", position=1,
    )  # fmt: skip
    assert order(sdk, listener) == [("front", 1), ("first", 2), ("second", 3)]
    for each in (first, second, front):
        settled(sdk, each)
    (listed,) = sdk.l7_policies(name="first")
    assert sdk.get_l7_policy(first.id).to_dict() == listed.to_dict()
    assert sdk.find_l7_policy("first").id == first.id
    assert sdk.find_l7_policy("nobody") is None
    for query in ({"action": "REDIRECT_TO_URL"}, {"redirect_url": "https://example.org/"}, {"tags": "t"}):
        assert [each.id for each in sdk.l7_policies(listener_id=listener.id, **query)] == [first.id]
    everything = sdk.l7_policies(listener_id=listener.id, limit=2)
    assert {each.id for each in everything} == {first.id, second.id, front.id}
    shown = sdk.get_listener(listener.id).l7_policies
    assert {each["id"] for each in shown} == {first.id, second.id, front.id}

    pool = sdk.create_pool(
        protocol="HTTP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=listener.load_balancers[0]["id"]
    )
    changed = sdk.update_l7_policy(first, redirect_pool_id=pool.id, name="to a pool")
    assert (changed.action, changed.redirect_pool_id, changed.redirect_url) == (
        "REDIRECT_TO_POOL",
        pool.id,
        None,
    )
    settled(sdk, changed)
    with pytest.raises(
        exceptions.ConflictException, match=f"Pool {pool.id} is in use by L7 policy {first.id}"
    ):
        sdk.delete_pool(pool)
    for each in (first, second, front):
        sdk.delete_l7_policy(each)
        sdk.wait_for_delete(each, interval=0.05, wait=20)
    assert order(sdk, listener) == []


@pytest.fixture
def policy(sdk: Proxy, listener: Listener) -> Iterator[L7Policy]:
    made = sdk.create_l7_policy(listener_id=listener.id, action="REJECT")
    yield settled(sdk, made)
    sdk.delete_l7_policy(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)


def test_rules(sdk: Proxy, policy: L7Policy) -> None:
    path = sdk.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/admin", tags=["t"])
    assert (path.type, path.rule_value, path.key, path.invert) == ("PATH", "/admin", None, False)
    header = sdk.create_l7_rule(
        policy.id, type="HEADER", compare_type="EQUAL_TO", key="X-Kind", value="robot", invert=True
    )
    assert (header.key, header.invert) == ("X-Kind", True)
    for each in (path, header):
        settled(sdk, each)
    (listed,) = sdk.l7_rules(policy, tags="t")
    assert sdk.get_l7_rule(path.id, policy).to_dict() == listed.to_dict()
    assert sdk.find_l7_rule(path.id, policy).id == path.id
    assert [each.id for each in sdk.l7_rules(policy, limit=1)] == [path.id, header.id]
    for query in ({"type": "HEADER"}, {"key": "X-Kind"}, {"invert": True}, {"compare_type": "EQUAL_TO"}):
        assert [each.id for each in sdk.l7_rules(policy, **query)] == [header.id]
    assert {each["id"] for each in sdk.get_l7_policy(policy.id).rules} == {path.id, header.id}
    changed = sdk.update_l7_rule(path, policy, rule_value="/private", is_admin_state_up=False)
    assert (changed.rule_value, changed.is_admin_state_up) == ("/private", False)
    settled(sdk, changed)
    with pytest.raises(exceptions.BadRequestException, match="Error parsing L7Rule"):
        sdk.create_l7_rule(policy, type="PATH", compare_type="REGEX", value="(")
    for each in (path, header):
        sdk.delete_l7_rule(each, policy)
        sdk.wait_for_delete(each, interval=0.05, wait=20)
    assert list(sdk.l7_rules(policy)) == []
