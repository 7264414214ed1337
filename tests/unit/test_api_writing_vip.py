"""Where VIPs come from (contract 1.9)."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydria.drivers.network.interface import Network
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.errors import Conflict, Invalid, NotFound, ProviderFailed, Unavailable, Unsupported
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.settings import Settings
from hydria.testing.network import FakeNetwork
from tests.databases import new_store
from tests.unit.api_writing import Api

NOBODY = str(uuid.UUID(int=7))


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def both(network: FakeNetwork) -> Network:
    """A network with both families, IPv6 first."""
    return network.add_network("2001:db8::/64", "198.51.100.0/24")


@pytest.fixture
def api(tmp_path: Path, network: FakeNetwork, both: Network) -> Api:
    return Api(new_store(tmp_path), network=network)


def vip(made: dict[str, Any]) -> tuple[Any, ...]:
    return made["vip_network_id"], made["vip_subnet_id"], made["vip_address"]


# --- the three sources


def test_a_subnet(api: Api, both: Network) -> None:
    made = api.create(LoadBalancer, vip_subnet_id=both.subnet_ids[0])
    assert vip(made) == (both.id, both.subnet_ids[0], "2001:db8::1")
    port = api.network.port(made["vip_port_id"])
    assert (port.name, port.owner) == (f"octavia-lb-{made['id']}", f"lb-{made['id']}")
    assert api.get(LoadBalancer, made["id"]).vip_port_owned


def test_a_network_prefers_ipv4(api: Api, both: Network) -> None:
    assert vip(api.create(LoadBalancer, vip_network_id=both.id)) == (
        both.id,
        both.subnet_ids[1],
        "198.51.100.1",
    )


def test_a_network_with_an_address(api: Api, both: Network) -> None:
    made = api.create(LoadBalancer, vip_network_id=both.id, vip_address="2001:DB8::0:9")
    assert vip(made) == (both.id, both.subnet_ids[0], "2001:db8::9")


def test_a_network_with_a_subnet(api: Api, both: Network) -> None:
    made = api.create(LoadBalancer, vip_network_id=both.id, vip_subnet_id=both.subnet_ids[0])
    assert vip(made)[1] == both.subnet_ids[0]


@pytest.mark.parametrize("more", [{}, {"vip_subnet_id": 1}, {"vip_address": "198.51.100.7"}])
def test_a_port(api: Api, network: FakeNetwork, both: Network, more: dict[str, Any]) -> None:
    port = network.add_port(both, (both.subnet_ids[1], "198.51.100.7"))
    body = more | ({"vip_subnet_id": both.subnet_ids[1]} if "vip_subnet_id" in more else {})
    made = api.create(LoadBalancer, vip_port_id=port.id, **body)
    assert vip(made) == (both.id, both.subnet_ids[1], "198.51.100.7")
    assert made["vip_port_id"] == port.id
    assert not api.get(LoadBalancer, made["id"]).vip_port_owned


def test_a_port_with_two_addresses(api: Api, network: FakeNetwork, both: Network) -> None:
    port = network.add_port(both, (both.subnet_ids[0], "2001:db8::7"), (both.subnet_ids[1], "198.51.100.7"))
    message = (
        "Validation failure: VIP port's subnet could not be determined."
        " Please specify either a VIP subnet or address."
    )
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_port_id=port.id)
    made = api.create(LoadBalancer, vip_port_id=port.id, vip_address="2001:DB8:0::7")
    assert vip(made) == (both.id, both.subnet_ids[0], "2001:db8::7")


# --- without a network service


@pytest.mark.parametrize("provider", ["amphora", "noop_driver"])
@pytest.mark.parametrize("address", [None, "192.0.2.7", "2001:db8::7"])
def test_the_noop_network_has_whatever_is_named(tmp_path: Path, provider: str, address: str | None) -> None:
    """As upstream's: each id exists, and each subnet is one of the network beside which it is named."""
    api = Api(new_store(tmp_path), network=NoopNetworkDriver(Settings()))
    network_id, subnet_id, second, member = (str(uuid.uuid4()) for _ in range(4))
    named = {"vip_network_id": network_id, "vip_subnet_id": subnet_id, "vip_address": address}
    more = [{"subnet_id": second, "ip_address": "2001:db8::8"}]
    made = api.create(LoadBalancer, **named, additional_vips=more, provider=provider)
    assert vip(made)[:2] == (network_id, subnet_id)
    assert made["vip_address"] == address or (address is None and made["vip_address"])
    assert [each["subnet_id"] for each in made["additional_vips"]] == [second]
    alone = api.create(LoadBalancer, vip_subnet_id=subnet_id, vip_address=address, provider=provider)
    assert vip(alone)[1] == subnet_id
    only = api.create(LoadBalancer, vip_network_id=network_id, vip_address=address, provider=provider)
    assert vip(only)[0] == network_id
    pool = api.create(Pool, loadbalancer_id=made["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN")
    api.create(Member, pool["id"], address="2001:db8::9", protocol_port=80, subnet_id=member)


# --- the embedded shape


def test_the_default_subnet_serves_when_nothing_is_named(
    api: Api, network: FakeNetwork, both: Network
) -> None:
    network.default_vip_subnet_id = both.subnet_ids[0]
    assert vip(api.create(LoadBalancer))[1:] == (both.subnet_ids[0], "2001:db8::1")
    made = api.create(LoadBalancer, vip_address="198.51.100.9")
    assert vip(made) == (both.id, both.subnet_ids[1], "198.51.100.9")
    message = "Validation failure: Supplied network does not contain a subnet for VIP address specified."
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_address="192.0.2.1")


# --- refusals

CASES: dict[str, tuple[Callable[[FakeNetwork, Network], dict[str, Any]], str]] = {
    "nothing": (lambda _n, _b: {}, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."),
    "an address alone": (lambda _n, _b: {"vip_address": "198.51.100.1"}, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."),
    "no such port": (lambda _n, _b: {"vip_port_id": NOBODY}, f"Port {NOBODY} not found."),
    "no such network": (lambda _n, _b: {"vip_network_id": NOBODY}, f"Network {NOBODY} not found."),
    "no such subnet": (lambda _n, _b: {"vip_subnet_id": NOBODY}, f"Subnet {NOBODY} not found."),
    "a subnet of another network": (lambda n, b: {"vip_network_id": b.id, "vip_subnet_id": n.add_network("203.0.113.0/24").subnet_ids[0]}, "Subnet * not found."),
    "no subnet": (lambda n, _b: {"vip_network_id": n.add_network().id}, "Validation failure: Supplied network does not contain a subnet."),
    "no subnet for the address": (lambda _n, b: {"vip_network_id": b.id, "vip_address": "192.0.2.1"}, "Validation failure: Supplied network does not contain a subnet for VIP address specified."),
    "an address outside": (lambda _n, b: {"vip_subnet_id": b.subnet_ids[0], "vip_address": "198.51.100.1"}, "Validation failure: IP address 198.51.100.1 is not a valid IP for the specified subnet."),
    "a used port": (lambda n, b: {"vip_port_id": n.add_port(b, (b.subnet_ids[1], "198.51.100.7"), device_id="vm").id}, "Validation failure: Port * is already used by device vm "),
    "another's VIP port": (lambda n, b: {"vip_port_id": n.add_port(b, (b.subnet_ids[1], "198.51.100.7"), owner="lb-1").id}, "Validation failure: Port * is already used by device lb-1 "),
    "a port elsewhere": (lambda n, b: {"vip_port_id": n.add_port(b, (b.subnet_ids[1], "198.51.100.7")).id, "vip_subnet_id": b.subnet_ids[0]}, "Validation failure: No VIP address found on the specified VIP port within the specified subnet."),
    "a port without the address": (lambda n, b: {"vip_port_id": n.add_port(b, (b.subnet_ids[1], "198.51.100.7")).id, "vip_address": "198.51.100.8"}, "Validation failure: Specified VIP address not found on the specified VIP port."),
    "one subnet twice": (lambda _n, b: {"vip_subnet_id": b.subnet_ids[0], "additional_vips": [{"subnet_id": b.subnet_ids[0]}]}, "Validation failure: Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet."),
    "two networks": (lambda n, b: {"vip_subnet_id": b.subnet_ids[0], "additional_vips": [{"subnet_id": n.add_network("203.0.113.0/24").subnet_ids[0]}]}, "Validation failure: All VIP subnets must belong to the same network."),
    "no such additional subnet": (lambda _n, b: {"vip_subnet_id": b.subnet_ids[0], "additional_vips": [{"subnet_id": NOBODY}]}, f"Subnet {NOBODY} not found."),
    "no additional subnet": (lambda _n, b: {"vip_subnet_id": b.subnet_ids[0], "additional_vips": [{}]}, "Invalid input for field/attribute additional_vips.subnet_id. Value: 'None'. Mandatory field missing."),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_refused(api: Api, network: FakeNetwork, both: Network, case: str) -> None:
    make, message = CASES[case]
    body = make(network, both)
    for key in ("vip_port_id", "vip_subnet_id"):
        message = message.replace("*", body.get(key, "*"))
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, **body)


def test_a_taken_address_is_a_conflict(api: Api, both: Network) -> None:
    api.create(LoadBalancer, vip_network_id=both.id, vip_address="198.51.100.5")
    message = "The VIP IP address is already in use: The address 198.51.100.5 is taken."
    with api.unchanged(Conflict, message):
        api.create(LoadBalancer, vip_network_id=both.id, vip_address="198.51.100.5")


def test_a_full_subnet(api: Api, network: FakeNetwork) -> None:
    tiny = network.add_network("203.0.113.0/30")
    # One for the VIP, one for an amphora.
    api.create(LoadBalancer, vip_network_id=tiny.id)
    message = "Validation failure: Subnet(s) in the supplied network do not contain enough available IPs."
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_network_id=tiny.id)
    api.create(LoadBalancer, vip_subnet_id=tiny.subnet_ids[0])
    with api.unchanged(Unavailable, f"No address is left in subnet {tiny.subnet_ids[0]}."):
        api.create(LoadBalancer, vip_subnet_id=tiny.subnet_ids[0])


def test_the_next_subnet_of_a_network_when_the_first_is_full(api: Api, network: FakeNetwork) -> None:
    both = network.add_network("203.0.113.0/31", "2001:db8:1::/64")
    assert vip(api.create(LoadBalancer, vip_network_id=both.id))[1] == both.subnet_ids[1]


def test_a_network_without_port_security(api: Api, network: FakeNetwork) -> None:
    open_to_all = network.add_network("203.0.113.0/24", port_security=False)
    message = "Provider 'amphora' reports error: Port security must be enabled on the VIP network."
    with api.unchanged(ProviderFailed, message):
        api.create(LoadBalancer, vip_network_id=open_to_all.id)


def test_what_the_caller_cannot_see(api: Api, network: FakeNetwork, both: Network) -> None:
    port = network.add_port(both, (both.subnet_ids[1], "198.51.100.7"))
    network.private = dict.fromkeys((both.id, *both.subnet_ids, port.id), "somebody else")
    for source, label, identifier in (
        ("vip_network_id", "Network", both.id),
        ("vip_subnet_id", "Subnet", both.subnet_ids[0]),
        ("vip_port_id", "Port", port.id),
    ):
        with api.unchanged(Invalid, f"{label} {identifier} not found."):
            api.create(LoadBalancer, **{source: identifier})
    api.networking(allow_invisible_resource_usage=True)
    api.create(LoadBalancer, vip_network_id=both.id)


# --- several addresses


def test_additional_vips_are_on_the_same_port(api: Api, network: FakeNetwork, both: Network) -> None:
    first, second = both.subnet_ids
    made = api.create(LoadBalancer, vip_subnet_id=second, additional_vips=[{"subnet_id": first}])
    port = network.port(made["vip_port_id"])
    assert made["vip_address"] == "198.51.100.1"
    assert made["additional_vips"] == [{"subnet_id": first, "ip_address": "2001:db8::1", "port_id": port.id}]
    assert [each.address for each in port.addresses] == ["198.51.100.1", "2001:db8::1"]
    wanted = {"subnet_id": first, "ip_address": "2001:DB8::0:9"}
    made = api.create(LoadBalancer, vip_subnet_id=second, additional_vips=[wanted])
    assert made["additional_vips"][0]["ip_address"] == "2001:db8::9"
    with api.unchanged(Conflict, "The VIP IP address is already in use: The address 2001:db8::9 is taken."):
        api.create(LoadBalancer, vip_subnet_id=second, additional_vips=[wanted])


def test_additional_vips_on_a_port_of_the_users(api: Api, network: FakeNetwork, both: Network) -> None:
    first, second = both.subnet_ids
    port = network.add_port(both, (second, "198.51.100.7"), (first, "2001:db8::7"))
    more = [{"subnet_id": first}]
    made = api.create(LoadBalancer, vip_port_id=port.id, vip_subnet_id=second, additional_vips=more)
    assert made["additional_vips"] == [{"subnet_id": first, "ip_address": "2001:db8::7", "port_id": port.id}]
    narrow = network.add_port(both, (second, "198.51.100.8"))
    message = (
        "Provider 'amphora' does not support a requested option:"
        f" The VIP port {narrow.id} has no address in subnet {first}; give it one first."
    )
    with api.unchanged(Unsupported, message):
        api.create(LoadBalancer, vip_port_id=narrow.id, additional_vips=more)


# --- what guards the port

GROUP, POLICY = str(uuid.UUID(int=11)), str(uuid.UUID(int=12))


def test_security_groups_and_policy_of_a_vip(api: Api, network: FakeNetwork, both: Network) -> None:
    network.security_groups, network.qos_policies = {GROUP}, {POLICY}
    made = api.create(LoadBalancer, vip_network_id=both.id, vip_sg_ids=[GROUP], vip_qos_policy_id=POLICY)
    assert (made["vip_sg_ids"], made["vip_qos_policy_id"]) == ([GROUP], POLICY)
    for body in ({"vip_sg_ids": None}, {"vip_sg_ids": [GROUP]}, {"vip_sg_ids": []}):
        changed = api.update(LoadBalancer, made["id"], **body)
        assert changed["vip_sg_ids"] == (body["vip_sg_ids"] or [])
        assert changed["vip_qos_policy_id"] == POLICY
    assert api.update(LoadBalancer, made["id"], vip_qos_policy_id=None)["vip_qos_policy_id"] is None


def test_a_port_brings_its_policy(api: Api, network: FakeNetwork, both: Network) -> None:
    network.qos_policies = {POLICY, NOBODY}
    address = (both.subnet_ids[1], "198.51.100.7")
    port = network.add_port(both, address, qos_policy_id=NOBODY)
    assert api.create(LoadBalancer, vip_port_id=port.id)["vip_qos_policy_id"] == NOBODY
    made = api.create(LoadBalancer, vip_port_id=port.id, vip_qos_policy_id=POLICY)
    assert made["vip_qos_policy_id"] == POLICY


def test_groups_and_policies_that_there_are_not(api: Api, network: FakeNetwork, both: Network) -> None:
    made = api.create(LoadBalancer, vip_network_id=both.id)["id"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vip_sg_ids": [NOBODY]}, f"Security Group {NOBODY} not found."),
        (
            {"vip_qos_policy_id": NOBODY},
            "Validation failure: VIP QoS policy is not allowed in this deployment.",
        ),
    ]
    for with_policies in (False, True):
        if with_policies:
            network.qos_policies = {POLICY}
            cases[1] = (cases[1][0], f"qos_policy {NOBODY} not found.")
        for body, message in cases:
            with api.unchanged(Invalid, message):
                api.create(LoadBalancer, vip_network_id=both.id, **body)
            with api.unchanged(Invalid, message):
                api.update(LoadBalancer, made, **body)
            with api.unchanged(NotFound, f"Load Balancer {NOBODY} not found."):
                api.update(LoadBalancer, NOBODY, **body)


def test_groups_and_allowed_cidrs_exclude_each_other(api: Api, network: FakeNetwork, both: Network) -> None:
    network.security_groups = {GROUP}
    message = "Validation failure: Allowed CIDRs are not allowed when using custom VIP Security Groups."
    listener = {"protocol": "TCP", "protocol_port": 80}
    limited = {**listener, "allowed_cidrs": ["192.0.2.0/24"]}
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_network_id=both.id, vip_sg_ids=[GROUP], listeners=[limited])
    made = api.create(LoadBalancer, vip_subnet_id=both.subnet_ids[1], listeners=[limited])
    with api.unchanged(Invalid, message):
        api.update(LoadBalancer, made["id"], vip_sg_ids=[GROUP])
    api.update(Listener, made["listeners"][0]["id"], allowed_cidrs=None)
    api.update(LoadBalancer, made["id"], vip_sg_ids=[GROUP])
    with api.unchanged(Invalid, message):
        api.update(Listener, made["listeners"][0]["id"], allowed_cidrs=["192.0.2.0/24"])
    with api.unchanged(Invalid, message):
        api.create(Listener, loadbalancer_id=made["id"], **{**limited, "protocol_port": 81})


@pytest.mark.parametrize("source", ["vip_port_id", "vip_network_id", "vip_subnet_id"])
def test_a_source_may_be_switched_off(api: Api, source: str) -> None:
    api.networking(**{f"allow_{source}": False})
    message = f"Validation failure: use of {source} is disallowed by this deployment's configuration."
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, **{source: NOBODY})
    left = ", ".join(each for each in ("vip_port_id", "vip_network_id", "vip_subnet_id") if each != source)
    with api.unchanged(Invalid, f"Validation failure: VIP must contain one of: {left}."):
        api.create(LoadBalancer)


def test_networks_may_be_allowed_or_denied(api: Api, network: FakeNetwork, both: Network) -> None:
    other = network.add_network("203.0.113.0/24")
    message = (
        "Validation failure: Supplied VIP network_id is not allowed by the configuration of this deployment."
    )
    api.networking(valid_vip_networks=(other.id,))
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_network_id=both.id)
    api.create(LoadBalancer, vip_network_id=other.id)
    api.networking(denylist_vip_networks=(other.id,))
    with api.unchanged(Invalid, message):
        api.create(LoadBalancer, vip_network_id=other.id)


# --- providers


def test_a_provider_that_makes_no_ports_gets_one_of_ours(
    tmp_path: Path, network: FakeNetwork, both: Network
) -> None:
    api = Api(new_store(tmp_path), network=network, provider="third")
    first, second = both.subnet_ids
    made = api.create(LoadBalancer, vip_subnet_id=second, additional_vips=[{"subnet_id": first}])
    assert vip(made) == (both.id, second, "198.51.100.1")
    port = network.port(made["vip_port_id"])
    assert made["additional_vips"] == [{"subnet_id": first, "ip_address": "2001:db8::1", "port_id": port.id}]
    assert api.get(LoadBalancer, made["id"]).vip_port_owned
    with api.unchanged(Conflict, "The VIP IP address is already in use: The address 198.51.100.1 is taken."):
        api.create(LoadBalancer, vip_subnet_id=second, vip_address="198.51.100.1")
    given = network.add_port(both, (second, "198.51.100.7"))
    made = api.create(LoadBalancer, vip_port_id=given.id)
    assert (made["vip_port_id"], made["vip_address"]) == (given.id, "198.51.100.7")
    assert not api.get(LoadBalancer, made["id"]).vip_port_owned


def test_the_noop_provider_makes_something_up(tmp_path: Path, network: FakeNetwork, both: Network) -> None:
    api = Api(new_store(tmp_path), network=network, provider="noop_driver")
    made = api.create(
        LoadBalancer, vip_subnet_id=both.subnet_ids[0], additional_vips=[{"subnet_id": both.subnet_ids[1]}]
    )
    assert vip(made) == (both.id, both.subnet_ids[0], "198.51.100.1")
    assert made["additional_vips"][0]["port_id"] == made["vip_port_id"]
    assert network.ports() == []
    assert [method for method, _ in api.noop.calls] == ["create_vip_port", "loadbalancer_create"]
