"""What the bridge driver's networks look like, and which CIDRs it refuses."""

import ipaddress
from itertools import islice

import pytest

from hydria.drivers.netlink import HostNetwork
from hydria.drivers.network import addressing
from hydria.drivers.network.addressing import Segment
from hydria.model.errors import Invalid


def segment(*cidrs: str, instance: str = "a1b2c3") -> Segment:
    options = [(f"cidr_{number}", cidr) for number, cidr in enumerate(cidrs)]
    return addressing.segment(instance, "vip", options, mtu=1500, gateway=True)


def route(network: str, interface: str = "eth0") -> HostNetwork:
    return HostNetwork(ipaddress.ip_network(network), interface)


def address(with_length: str, interface: str = "eth0") -> HostNetwork:
    found = ipaddress.ip_interface(with_length)
    return HostNetwork(found.network, interface, found)


def test_every_program_works_out_the_same() -> None:
    assert segment("10.0.0.0/24") == segment("10.0.0.0/24")
    assert segment("10.0.0.0/24").network.id != segment("10.0.0.0/24", instance="ffffff").network.id


def test_names_fit_the_kernels_limit() -> None:
    found = segment("10.0.0.0/24")
    assert found.bridge == "hya1b2c3vip"
    assert len(found.bridge) <= 15
    assert int(found.mac[:2], 16) & 3 == 2  # locally administered, unicast


def test_an_empty_cidr_is_no_subnet() -> None:
    (only,) = segment("", "fd00::/64").ranges
    assert only.subnet.version == 6
    assert only.subnet.gateway == "fd00::1"
    with pytest.raises(Invalid, match="cidr_0, cidr_1"):
        segment("", " ")


@pytest.mark.parametrize("cidr", ["10.0.0.1/24", "10.0.0.0/33", "fd00::/129", "10.0.0.0/30", "words"])
def test_what_is_no_useful_network_is_refused_with_its_option(cidr: str) -> None:
    with pytest.raises(Invalid, match=r"\[bridge\] cidr_0 = "):
        segment(cidr)


@pytest.mark.parametrize(
    ("cidr", "reserved"),
    [("10.0.0.0/29", {"10.0.0.0", "10.0.0.1", "10.0.0.7"}), ("fd00::/125", {"fd00::", "fd00::1"})],
)
def test_candidates_are_all_addresses_but_the_reserved_ones(cidr: str, reserved: set[str]) -> None:
    (found,) = segment(cidr).ranges
    everything = {str(each) for each in found.network}
    for start in (0, 3, 10**30):
        candidates = list(found.candidates(start))
        assert len(candidates) == len(set(candidates))
        assert set(candidates) == everything - reserved
    assert {each for each in everything if not found.may_be_given(each)} == reserved


def test_a_large_subnet_is_not_walked_to_its_end() -> None:
    (found,) = segment("fd00::/64").ranges
    assert len(list(islice(found.candidates(2**127), 5))) == 5


def test_cidrs_of_our_own_must_not_overlap() -> None:
    with pytest.raises(Invalid, match=r"cidr_0 = 10.0.0.0/16 overlaps with \[bridge\] cidr_0 = 10.0.3.0/24"):
        addressing.check([segment("10.0.0.0/16"), segment("10.0.3.0/24")], [])


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (address("10.0.0.9/24"), "the address 10.0.0.9/24 of this host on the interface eth0"),
        (address("10.0.0.9/8"), "the address 10.0.0.9/8"),
        (address("fd00::9/128", "lo"), "the address fd00::9/128 of this host on the interface lo"),
        (route("10.0.0.0/16", "tun0"), "the route to 10.0.0.0/16 of this host on the interface tun0"),
        (route("10.0.0.128/32", ""), "no single interface"),
    ],
)
def test_what_the_host_has_is_left_alone(known: HostNetwork, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        addressing.check([segment("10.0.0.0/24", "fd00::/64")], [known])
    assert words in refused.value.message
    assert "set [bridge] cidr_" in refused.value.message


@pytest.mark.parametrize(
    ("interface", "instance"), [("hy1a2b3cvip", "1a2b3c"), ("hy1a2b3clb", "1a2b3c"), ("hypervip", "")]
)
def test_a_range_that_another_instance_has_leads_to_it(interface: str, instance: str) -> None:
    """As when its state directory is lost and the next start has another one."""
    with pytest.raises(Invalid) as refused:
        addressing.check([segment("10.0.0.0/24")], [address("10.0.0.1/24", interface)])
    end = f"or end instance {instance} of Hydria, which has it: 'hydria instances' tells more."
    assert refused.value.message.endswith(end if instance else "to a range that is free here.")


@pytest.mark.parametrize(
    "known",
    [
        address("10.0.1.1/24"),
        address("fe80::1/64"),
        route("0.0.0.0/1", "tun0"),  # half of a VPN's default route
        route("2000::/3"),
        route("192.168.0.0/16"),
    ],
)
def test_default_routes_and_strangers_do_not_matter(known: HostNetwork) -> None:
    addressing.check([segment("10.0.0.0/24", "fd00::/64")], [known])
