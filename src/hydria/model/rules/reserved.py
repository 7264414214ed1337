"""Where no member may be: reserved networks, in every spelling that leads there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from hydria.model import kinds

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Gateways of the network translate these IPv6 addresses to the IPv4 address in their last bits (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def network(text: str) -> Network:
    """A network, or the one of a single address; ValueError says what is wrong with it."""
    if "/" in text:
        return ipaddress.ip_network(text)
    return ipaddress.ip_network(kinds.plain_address(text))


def expanded(networks: Iterable[str]) -> Iterator[Network]:
    """Networks, and those that are translated to them."""
    for text in networks:
        found = network(text)
        yield found
        if isinstance(found, ipaddress.IPv4Network):
            first = int(_TRANSLATED.network_address) + int(found.network_address)
            yield ipaddress.IPv6Network((first, _TRANSLATED.prefixlen + found.prefixlen))


def holder(address: Address, networks: Iterable[str]) -> Network | None:
    """The first of the networks that an address is in, or is translated to."""
    return next((found for found in expanded(networks) if address in found), None)


def serves_nobody(address: Address) -> str:
    """What an address is that no server can have, seen from a load balancer; "" when one can."""
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast:
        return "a multicast address"
    return "the broadcast address" if address == _BROADCAST else ""
