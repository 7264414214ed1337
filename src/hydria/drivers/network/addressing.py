"""The two networks of the bridge driver: their ids, names and addresses, worked out from configuration alone.

Every program works out the same, so that only ports need to be kept anywhere.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from hydria.drivers.netlink import AnyInterface, AnyNetwork, HostNetwork
from hydria.drivers.network.interface import Network, Subnet
from hydria.model.errors import Invalid

_BRIDGE = re.compile(r"hy([0-9a-f]{6})(?:lb|vip)")
_NAMESPACE = uuid.UUID("6f0f2f5e-7d43-4c62-9a0c-6d2f6879d7a1")
_SMALLEST = 8  # addresses in a subnet that is worth having
_MOST = 1 << 24  # addresses of a subnet that are ever used
_FIRST = 2  # of a port; the one before is the host's
# The two halves that VPN clients set in place of a default route, and all of global IPv6.
_AS_GOOD_AS_DEFAULT = {4: 1, 6: 3}


@dataclass(frozen=True, slots=True)
class Range:
    """A subnet with its option in hydria.conf."""

    subnet: Subnet
    network: AnyNetwork
    option: str

    @property
    def host(self) -> AnyInterface:
        """The host's address: the first one."""
        return ipaddress.ip_interface((self.network[1], self.network.prefixlen))

    @property
    def size(self) -> int:
        """How many ports can have an address of it."""
        return _size(self.network)

    def may_be_given(self, address: str) -> bool:
        """Whether an address of the subnet can be a port's."""
        found = ipaddress.ip_address(address)
        last = self.network.broadcast_address if self.network.version == 4 else None
        return found not in (self.network.network_address, self.host.ip, last)

    def candidates(self, start: int) -> Iterator[str]:
        """Every address that can be a port's, from somewhere in the middle round to the one before."""
        for step in range(self.size):
            yield str(self.network[_FIRST + (start + step) % self.size])


@dataclass(frozen=True, slots=True)
class Segment:
    """A network with the bridge that carries it."""

    network: Network
    bridge: str
    mac: str
    ranges: tuple[Range, ...]

    def range_of(self, subnet_id: str) -> Range | None:
        """Look up a subnet of this network."""
        return next((found for found in self.ranges if found.subnet.id == subnet_id), None)


def bridges(instance: str) -> list[str]:
    """The names of an instance's bridges."""
    return [f"hy{instance}{name}" for name in ("lb", "vip")]


def instance_of(bridge: str) -> str | None:
    """The instance that a bridge of this name is of; None when it is no such bridge."""
    known = _BRIDGE.fullmatch(bridge)
    return known[1] if known else None


def segment(
    instance: str, name: str, cidrs: Iterable[tuple[str, str]], *, mtu: int, gateway: bool
) -> Segment:
    """One network from its CIDRs (option, value; "" for none). Raises Invalid, naming the option.

    ``gateway``: whether the host forwards for it.
    """
    network_id = _identifier(instance, name)
    ranges = []
    for option, cidr in cidrs:
        if cidr.strip():
            block = network_of(option, cidr.strip())
            subnet_id = _identifier(instance, name, f"v{block.version}")
            host = str(block[1]) if gateway else ""
            title = f"hydria-{name}-v{block.version}"
            pool = (str(block[_FIRST]), str(block[_FIRST + _size(block) - 1]))
            ranges.append(Range(Subnet(subnet_id, network_id, title, str(block), host, pool), block, option))
    if not ranges:
        raise Invalid(f"The {name} network has no subnet: set one of {', '.join(o for o, _ in cidrs)}.")
    network = Network(network_id, f"hydria-{name}", tuple(found.subnet.id for found in ranges), mtu)
    return Segment(network, f"hy{instance}{name}", mac_of(network_id), tuple(ranges))


def mac_of(identifier: str) -> str:
    """A locally administered unicast MAC address that follows from a UUID."""
    return ":".join(f"{octet:02x}" for octet in (0x02, *uuid.UUID(identifier).bytes[-5:]))


def port_id(instance: str, name: str) -> str:
    """The id of the port of that name: the same one for everybody who asks for it."""
    return _identifier(instance, "port", name)


def link_name(port: str) -> str:
    """The host's end of a port of that id, in the 15 characters that a link's name may have."""
    return "hy" + port.replace("-", "")[:11]


def check(segments: Iterable[Segment], host: Iterable[HostNetwork]) -> None:
    """Raise Invalid when a CIDR overlaps with another one, or with what the host already knows.

    ``host`` leaves out the driver's own bridges. Default routes lead everywhere and do not count.
    """
    ranges = [found for part in segments for found in part.ranges]
    for one, other in combinations(ranges, 2):
        if _overlap(one.network, other.network):
            raise Invalid(
                f"[bridge] {one.option} = {one.network} overlaps with [bridge] {other.option} ="
                f" {other.network}: change one of them."
            )
    for known in host:
        if known.network.prefixlen <= _AS_GOOD_AS_DEFAULT[known.network.version] and known.address is None:
            continue
        for found in ranges:
            if _overlap(found.network, known.network):
                what = f"the address {known.address}" if known.address else f"the route to {known.network}"
                where = f"the interface {known.interface}" if known.interface else "no single interface"
                holder = instance_of(known.interface)
                more = "'hydria instances' tells more"
                or_end = f", or end instance {holder} of Hydria, which has it: {more}" if holder else ""
                raise Invalid(
                    f"[bridge] {found.option} = {found.network} overlaps with {what} of this host on"
                    f" {where}: set [bridge] {found.option} to a range that is free here{or_end}."
                )


def network_of(option: str, cidr: str) -> AnyNetwork:
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError as error:
        raise Invalid(f"[bridge] {option} = {cidr}: {error}.") from error
    if network.num_addresses < _SMALLEST:
        raise Invalid(f"[bridge] {option} = {cidr} is too small: at least {_SMALLEST} addresses are needed.")
    return network


def _size(network: AnyNetwork) -> int:
    return min(network.num_addresses, _MOST) - (3 if network.version == 4 else 2)


def _identifier(*names: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def _overlap(one: AnyNetwork, other: AnyNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
