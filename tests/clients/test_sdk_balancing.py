"""openstacksdk against a running Hydria: load balancers, listeners, pools, members and health monitors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.load_balancer.v2._proxy import Proxy
from openstack.load_balancer.v2.listener import Listener
from openstack.load_balancer.v2.load_balancer import LoadBalancer
from openstack.load_balancer.v2.member import Member
from openstack.load_balancer.v2.pool import Pool

from tests.clients.served import NOBODY, QUIET, SUBNET, Served, settled

pytestmark = [pytest.mark.system, QUIET]
ZEROS = dict.fromkeys(
    ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"), 0
)


@pytest.fixture(scope="module")
def balancer(sdk: Proxy) -> Iterator[LoadBalancer]:
    """One load balancer for the tests of what is in it."""
    made = sdk.create_load_balancer(name="sdk", vip_subnet_id=SUBNET, tags=["of-the-sdk"])
    yield settled(sdk, made)
    sdk.delete_load_balancer(made, cascade=True)
    sdk.wait_for_delete(made, interval=0.05, wait=20)


@pytest.fixture(scope="module")
def listener(sdk: Proxy, balancer: LoadBalancer) -> Listener:
    made = sdk.create_listener(name="web", protocol="HTTP", protocol_port=80, load_balancer_id=balancer.id)
    return settled(sdk, made)


@pytest.fixture(scope="module")
def pool(sdk: Proxy, balancer: LoadBalancer) -> Pool:
    made = sdk.create_pool(
        name="servers", protocol="HTTP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=balancer.id
    )
    return settled(sdk, made)


def test_a_load_balancer_from_the_order_to_its_end(sdk: Proxy) -> None:
    made = sdk.create_load_balancer(
        name="lb-sdk", description="ordered", vip_subnet_id=SUBNET, admin_state_up=True, tags=["a", "b"],
        provider="amphora",
    )  # fmt: skip
    assert (made.provisioning_status, made.operating_status) == ("PENDING_CREATE", "OFFLINE")
    assert (made.vip_subnet_id, made.provider, made.tags) == (SUBNET, "amphora", ["a", "b"])
    ready = sdk.wait_for_load_balancer(made.id, interval=0.05, wait=20)
    assert (ready.provisioning_status, ready.vip_address) == ("ACTIVE", made.vip_address)

    assert sdk.get_load_balancer(made).to_dict() == ready.to_dict()
    assert sdk.find_load_balancer("lb-sdk").id == made.id
    assert sdk.find_load_balancer(made.id).name == "lb-sdk"
    assert sdk.find_load_balancer("nobody") is None
    assert sdk.get_load_balancer_statistics(made.id).to_dict().items() >= ZEROS.items()

    changed = sdk.update_load_balancer(made, name="renamed", is_admin_state_up=False, tags=["c"])
    assert (changed.name, changed.is_admin_state_up, changed.tags) == ("renamed", False, ["c"])
    assert changed.provisioning_status == "PENDING_UPDATE"
    assert settled(sdk, changed).updated_at is not None

    sdk.delete_load_balancer(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)
    with pytest.raises(exceptions.NotFoundException, match=f"Load Balancer {made.id} not found"):
        sdk.get_load_balancer(made.id)
    sdk.delete_load_balancer(made)  # one that is gone is no error
    with pytest.raises(exceptions.NotFoundException):
        sdk.delete_load_balancer(made, ignore_missing=False)


def test_a_whole_tree_in_one_call_and_its_end(sdk: Proxy) -> None:
    pool = {
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "192.0.2.1", "protocol_port": 80}],
        "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    }  # fmt: skip
    listener = {"name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    made = sdk.create_load_balancer(name="tree", vip_subnet_id=SUBNET, listeners=[listener])
    ready = sdk.wait_for_load_balancer(made.id, interval=0.05, wait=20)
    assert len(ready.listeners) == len(ready.pools) == 1
    with pytest.raises(exceptions.BadRequestException, match="it has children"):
        sdk.delete_load_balancer(made)
    sdk.delete_load_balancer(made, cascade=True)
    sdk.wait_for_delete(made, interval=0.05, wait=20)
    assert sdk.find_pool(ready.pools[0]["id"]) is None


def test_lists_page_filter_and_know_tags(sdk: Proxy) -> None:
    made = [
        sdk.create_load_balancer(
            name=f"page-{number}", vip_subnet_id=SUBNET, tags=["paged", f"n{number % 2}"]
        )
        for number in range(5)
    ]
    wanted = [each.id for each in made]
    try:
        # Five objects in pages of two: the client follows the links, which repeat the filter.
        assert [each.id for each in sdk.load_balancers(limit=2, tags="paged")] == wanted
        behind = sdk.load_balancers(limit=2, marker=wanted[1], tags="paged")
        assert [each.id for each in behind] == wanted[2:]
        assert [each.id for each in sdk.load_balancers(tags=["paged", "n1"])] == wanted[1::2]
        assert {each.id for each in sdk.load_balancers(any_tags="n0,n1")} == set(wanted)
        assert not {each.id for each in sdk.load_balancers(not_any_tags="n0,n1")} & set(wanted)
        found = sdk.load_balancers(tags="paged", not_tags="n0")
        assert [each.id for each in found] == wanted[1::2]
        assert [each.id for each in sdk.load_balancers(name="page-3", vip_subnet_id=SUBNET)] == [wanted[3]]
        assert list(sdk.load_balancers(name="page-3", is_admin_state_up=False)) == []
    finally:
        for each in made:
            sdk.delete_load_balancer(each)
        for each in made:
            sdk.wait_for_delete(each, interval=0.05, wait=20)


def test_listeners(sdk: Proxy, balancer: LoadBalancer) -> None:
    made = sdk.create_listener(
        name="l-sdk", protocol="HTTP", protocol_port=8080, load_balancer_id=balancer.id, connection_limit=7,
        insert_headers={"X-Forwarded-For": "true"}, timeout_client_data=1000, allowed_cidrs=["192.0.2.0/24"],
        tags=["t"],
    )  # fmt: skip
    assert (made.protocol_port, made.connection_limit, made.timeout_client_data) == (8080, 7, 1000)
    assert (made.load_balancers, made.provisioning_status) == ([{"id": balancer.id}], "PENDING_CREATE")
    ready = settled(sdk, made)
    assert (ready.insert_headers, ready.allowed_cidrs) == ({"X-Forwarded-For": "true"}, ["192.0.2.0/24"])
    (listed,) = sdk.listeners(name="l-sdk")
    assert sdk.get_listener(ready.id).to_dict() == listed.to_dict()
    assert sdk.find_listener("l-sdk").id == made.id
    assert sdk.get_listener_statistics(made.id).to_dict().items() >= ZEROS.items()
    for query in ({"protocol_port": 8080}, {"tags": "t"}, {"name": "l-sdk", "protocol": "HTTP"}):
        assert [each.id for each in sdk.listeners(**query)] == [made.id]
    # The SDK's name of this filter is not that of the attribute.
    assert made.id in {each.id for each in sdk.listeners(load_balancer_id=balancer.id)}
    assert list(sdk.listeners(load_balancer_id=NOBODY)) == []
    changed = sdk.update_listener(made, name="other", connection_limit=None, allowed_cidrs=None)
    assert (changed.name, changed.connection_limit, changed.allowed_cidrs) == ("other", -1, None)
    settled(sdk, changed)
    with pytest.raises(
        exceptions.ConflictException, match="already using protocol HTTP and protocol_port 8080"
    ):
        sdk.create_listener(protocol="HTTP", protocol_port=8080, load_balancer_id=balancer.id)
    sdk.delete_listener(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)
    assert sdk.find_listener("other") is None


def test_pools(sdk: Proxy, balancer: LoadBalancer) -> None:
    made = sdk.create_pool(
        name="p-sdk", protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS", loadbalancer_id=balancer.id,
        session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"}, tags=["t"],
    )  # fmt: skip
    assert (made.loadbalancers, made.listeners) == ([{"id": balancer.id}], [])
    assert made.session_persistence["cookie_name"] == "sid"
    ready = settled(sdk, made)
    (listed,) = sdk.pools(name="p-sdk")
    assert sdk.get_pool(ready.id).to_dict() == listed.to_dict()
    assert sdk.find_pool("p-sdk").id == made.id
    for query in ({"name": "p-sdk"}, {"lb_algorithm": "LEAST_CONNECTIONS"}, {"tags": "t"}):
        assert [each.id for each in sdk.pools(loadbalancer_id=balancer.id, **query)] == [made.id]
    changed = sdk.update_pool(made, lb_algorithm="SOURCE_IP", session_persistence=None, description="d")
    assert (changed.lb_algorithm, changed.session_persistence) == ("SOURCE_IP", None)
    settled(sdk, changed)
    sdk.delete_pool(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)


def test_a_default_pool(sdk: Proxy, listener: Listener) -> None:
    made = sdk.create_pool(protocol="HTTP", lb_algorithm="ROUND_ROBIN", listener_id=listener.id)
    assert made.listeners == [{"id": listener.id}]
    settled(sdk, made)
    assert sdk.get_listener(listener.id).default_pool_id == made.id
    sdk.delete_pool(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)
    assert settled(sdk, sdk.get_listener(listener.id)).default_pool_id is None


def test_members(sdk: Proxy, pool: Pool) -> None:
    made = sdk.create_member(pool, name="m-sdk", address="192.0.2.5", protocol_port=80, weight=5, tags=["t"])
    assert (made.address, made.weight, made.backup, made.operating_status) == (
        "192.0.2.5", 5, False, "NO_MONITOR",
    )  # fmt: skip
    ready = settled(sdk, made)
    assert sdk.get_member(made.id, pool).to_dict() == ready.to_dict()
    assert sdk.find_member("m-sdk", pool).id == made.id
    assert sdk.find_member("nobody", pool) is None
    other = settled(sdk, sdk.create_member(pool.id, address="2001:db8::5", protocol_port=80))
    assert [each.id for each in sdk.members(pool, limit=1)] == [made.id, other.id]
    for query in ({"address": "192.0.2.5"}, {"weight": 5}, {"tags": "t"}, {"name": "m-sdk"}):
        assert [each.id for each in sdk.members(pool, **query)] == [made.id]
    changed = sdk.update_member(made, pool, weight=0, is_admin_state_up=False, monitor_port=81)
    assert (changed.weight, changed.is_admin_state_up, changed.monitor_port) == (0, False, 81)
    settled(sdk, changed)
    with pytest.raises(exceptions.ConflictException, match="already using ip 192"):
        sdk.create_member(pool, address="192.0.2.5", protocol_port=80)
    for each in (made, other):
        sdk.delete_member(each, pool)
        sdk.wait_for_delete(each, interval=0.05, wait=20)
    assert list(sdk.members(pool)) == []


@pytest.mark.parametrize("additive", [False, True])
def test_members_at_once(hydria: Served, sdk: Proxy, pool: Pool, additive: bool) -> None:
    """The SDK has no method for it; its session's PUT is what Ansible modules and operators send."""
    kept: Member = settled(sdk, sdk.create_member(pool, address="192.0.2.1", protocol_port=80, weight=9))
    gone: Member = settled(sdk, sdk.create_member(pool, address="192.0.2.2", protocol_port=80))
    body = {"members": [{"address": f"192.0.2.{last}", "protocol_port": 80} for last in (1, 3)]}
    answer = sdk.put(
        f"/lbaas/pools/{pool.id}/members", json=body, params={"additive_only": True} if additive else {}
    )
    assert (answer.status_code, answer.text) == (202, "")
    if not additive:
        sdk.wait_for_delete(gone, interval=0.05, wait=20)
    settled(sdk, sdk.get_pool(pool.id))
    found = {each.address: each for each in sdk.members(pool)}
    assert set(found) == {f"192.0.2.{last}" for last in ((1, 2, 3) if additive else (1, 3))}
    assert (found["192.0.2.1"].id, found["192.0.2.1"].weight) == (kept.id, 1)
    assert hydria.ask("PUT", f"/pools/{pool.id}/members", {"members": []}).status == 202
    for each in found.values():
        sdk.wait_for_delete(each, interval=0.05, wait=20)


def test_health_monitors(sdk: Proxy, pool: Pool) -> None:
    made = sdk.create_health_monitor(
        name="h-sdk", pool_id=pool.id, type="HTTP", delay=5, timeout=3, max_retries=2, url_path="/up",
        expected_codes="200-204", http_method="HEAD", tags=["t"],
    )  # fmt: skip
    assert (made.pools, made.max_retries_down, made.url_path) == ([{"id": pool.id}], 3, "/up")
    ready = settled(sdk, made)
    (listed,) = sdk.health_monitors(name="h-sdk")
    assert sdk.get_health_monitor(ready.id).to_dict() == listed.to_dict()
    assert sdk.find_health_monitor("h-sdk").id == made.id
    assert sdk.get_pool(pool.id).health_monitor_id == made.id
    for query in ({"pool_id": pool.id}, {"type": "HTTP", "name": "h-sdk"}, {"tags": "t"}):
        assert [each.id for each in sdk.health_monitors(**query)] == [made.id]
    changed = sdk.update_health_monitor(made, delay=9, expected_codes=None, name="other")
    assert (changed.delay, changed.expected_codes, changed.name) == (9, "200", "other")
    settled(sdk, changed)
    with pytest.raises(exceptions.ConflictException, match="already has a health monitor"):
        sdk.create_health_monitor(pool_id=pool.id, type="TCP", delay=5, timeout=3, max_retries=2)
    sdk.delete_health_monitor(made)
    sdk.wait_for_delete(made, interval=0.05, wait=20)
    assert sdk.get_pool(pool.id).health_monitor_id is None


def test_refusals_reach_the_user(sdk: Proxy, balancer: LoadBalancer) -> None:
    with pytest.raises(exceptions.BadRequestException) as refused:
        sdk.create_load_balancer(name="nowhere")
    assert "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id." in str(refused.value)
    with pytest.raises(exceptions.BadRequestException, match="Provider 'nobody' is not enabled"):
        sdk.create_load_balancer(provider="nobody", vip_subnet_id=SUBNET)
    with pytest.raises(exceptions.NotFoundException, match=f"Load Balancer {NOBODY} not found"):
        sdk.create_listener(protocol="HTTP", protocol_port=1, load_balancer_id=NOBODY)
    with pytest.raises(exceptions.NotFoundException):  # the body of this one is not a fault's (contract 1.5)
        sdk.create_member(NOBODY, address="192.0.2.1", protocol_port=1)
