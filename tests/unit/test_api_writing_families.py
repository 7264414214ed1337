"""Members of UDP and SCTP that no VIP can send to are refused, in every way in (contract 4.10)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import Unsupported
from hydria.model.health_monitor import HealthMonitor
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.store import tables
from tests.databases import new_store
from tests.unit.api_writing import Api

V4, V6, MAPPED = (
    {"address": each, "protocol_port": 53} for each in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2")
)
PORTS = {"UDP": 53, "SCTP": 54}
TURN = {"lb_algorithm": "ROUND_ROBIN"}
PROTOCOLS = pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
FAMILIES = pytest.mark.parametrize(
    ("family", "good", "bad"), [(4, V4, V6), (6, V6, V4)], ids=["ipv4", "ipv6"]
)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(new_store(tmp_path))


def words(protocol: str) -> str:
    return (
        "Provider 'amphora' does not support a requested option: This provider doesn't support mixing IPv4 and "
        f"IPv6 addresses for its VIP and members in {protocol} load balancers."
    )


def subnet(network: NetworkDriver, family: int) -> str:
    """The VIP network has one of each."""
    given = network.subnet(network.default_vip_subnet_id or "")
    return network.network(given.network_id).subnet_ids[0 if family == 4 else 1]


def balancer(api: Api, *families: int, **more: Any) -> dict[str, Any]:
    """A load balancer with a VIP of each family, the first one being the primary."""
    first, *others = (subnet(api.network, family) for family in families)
    return api.create(
        LoadBalancer, vip_subnet_id=first, additional_vips=[{"subnet_id": each} for each in others], **more
    )


def listener(api: Api, balancer_id: str, protocol: str, **more: Any) -> str:
    port = PORTS[protocol]
    body = {"loadbalancer_id": balancer_id, "protocol": protocol, "protocol_port": port, **more}
    return api.create(Listener, **body)["id"]


def pool(api: Api, protocol: str, *members: dict[str, Any], **on: str) -> str:
    """A pool on its own, or of a listener."""
    made = api.create(Pool, protocol=protocol, **TURN, **on)["id"]
    for each in members:
        api.create(Member, made, **each)
    api.apply()
    return made


@PROTOCOLS
@FAMILIES
def test_a_member_of_a_family_without_a_vip_is_refused(
    api: Api, protocol: str, family: int, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    found = listener(api, balancer(api, family)["id"], protocol)
    used = pool(api, protocol, good, listener_id=found)
    with api.unchanged(Unsupported, words(protocol)):
        api.create(Member, used, **bad)
    for additive in (False, True):
        with api.unchanged(Unsupported, words(protocol)):
            api.batch(used, good, bad, additive_only=additive)
    api.batch(used, {**good, "weight": 5})


@PROTOCOLS
@FAMILIES
def test_a_pool_with_such_a_member_becomes_nobodys_default(
    api: Api, protocol: str, family: int, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    on = balancer(api, family)["id"]
    unused = pool(api, protocol, good, bad, loadbalancer_id=on)
    with api.unchanged(Unsupported, words(protocol)):
        listener(api, on, protocol, default_pool_id=unused)
    present = listener(api, on, protocol)
    with api.unchanged(Unsupported, words(protocol)):
        api.update(Listener, present, default_pool_id=unused)
    # Without the member it does.
    api.batch(unused, good)
    api.update(Listener, present, default_pool_id=unused)


@PROTOCOLS
@FAMILIES
@pytest.mark.parametrize("in_place", [True, False], ids=["in the listener", "by name"])
def test_a_fully_populated_create_is_refused(
    api: Api, protocol: str, family: int, good: dict[str, Any], bad: dict[str, Any], *, in_place: bool
) -> None:
    def order(*members: dict[str, Any]) -> None:
        full = {"name": "p", "protocol": protocol, **TURN, "members": list(members)}
        port = {
            "protocol": protocol,
            "protocol_port": 53,
            "default_pool": full if in_place else {"name": "p"},
        }
        balancer(api, family, listeners=[port], pools=[] if in_place else [full])

    with api.unchanged(Unsupported, words(protocol)):
        order(good, bad)
    order(good)


@PROTOCOLS
@pytest.mark.parametrize("families", [(4, 6), (6, 4)], ids=["ipv4 first", "ipv6 first"])
def test_with_vips_of_both_families_members_are_of_both(
    api: Api, protocol: str, families: tuple[int, int]
) -> None:
    full = {"name": "p", "protocol": protocol, **TURN, "members": [V4, V6]}
    port = {"protocol": protocol, "protocol_port": 53, "default_pool": full}
    made = balancer(api, *families, listeners=[port])["pools"][0]["id"]
    api.create(Member, made, **MAPPED)
    api.batch(made, V4, V6)


def test_a_mapped_address_is_the_ipv4_address_that_it_means(api: Api) -> None:
    used = pool(api, "UDP", MAPPED, listener_id=listener(api, balancer(api, 4)["id"], "UDP"))
    with api.unchanged(Unsupported, words("UDP")):
        api.create(Member, used, **V6)
    used = pool(api, "UDP", V6, listener_id=listener(api, balancer(api, 6)["id"], "UDP"))
    with api.unchanged(Unsupported, words("UDP")):
        api.create(Member, used, **MAPPED)


def test_haproxy_mixes_families(api: Api) -> None:
    on = balancer(api, 4)["id"]
    used = pool(api, "TCP", V4, V6, loadbalancer_id=on)
    api.create(Listener, loadbalancer_id=on, protocol="TCP", protocol_port=80, default_pool_id=used)


def test_other_providers_refuse_for_themselves(tmp_path: Path) -> None:
    api = Api(new_store(tmp_path), provider="noop_driver")
    used = pool(api, "UDP", V6, listener_id=listener(api, balancer(api, 4)["id"], "UDP"))
    assert [each.pool_id for each in api.all(Member)] == [used]


CHANGES: dict[str, Callable[[Api, str, str, str], object]] = {
    "member PUT": lambda api, _listener, pool_id, member: api.update(Member, member, pool_id, weight=3),
    "member DELETE": lambda api, _listener, pool_id, member: api.delete(Member, member, pool_id),
    "batch without it": lambda api, _listener, pool_id, _: api.batch(pool_id, V4),
    "additive batch beside it": lambda api, _listener, pool_id, _: api.batch(pool_id, V4, additive_only=True),
    "listener PUT": lambda api, its, pool_id, _: api.update(Listener, its, name="x", default_pool_id=pool_id),
    "pool PUT": lambda api, _listener, pool_id, _: api.update(Pool, pool_id, name="x"),
    "monitor POST": lambda api, _listener, pool_id, _: api.create(
        HealthMonitor, pool_id=pool_id, type="UDP-CONNECT", delay=5, timeout=2, max_retries=2
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_one_that_is_there_bars_no_other_change(api: Api, change: str) -> None:
    """As versions before this rule have let it in."""
    on = balancer(api, 4)["id"]
    its, old = listener(api, on, "UDP"), pool(api, "UDP", V4, V6, loadbalancer_id=on)
    api.store.transact(lambda tx: tx.execute(sa.update(tables.listeners).values(default_pool_id=old)))
    member = next(each.id for each in api.all(Member) if each.address == V6["address"])
    CHANGES[change](api, its, old, member)
