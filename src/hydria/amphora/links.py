"""Root part: the addresses, routes and state of the amphora's network interfaces.

Trusts nothing of what it is asked: every value is parsed and written anew before ``ip`` sees it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydria.amphora import kernel, program
from hydria.amphora.faults import Malformed, Refused

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One interface as it shall be; addresses in canonical form, own ones first."""

    mac: str
    mtu: int
    addresses: tuple[str, ...]
    vips: frozenset[str]
    gateways: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Link:
    """One interface as it is; ``routed`` are the IP versions that it has a default route for."""

    name: str
    mtu: int
    up: bool
    addresses: frozenset[str]
    routed: frozenset[int]


def apply(arguments: object, reserved: str = "") -> list[list[str]]:
    """Give every named interface exactly its addresses and default routes.

    ``reserved``: the interface that controllers come in by; nobody asks for it to be changed.
    Returns ``[mac, address]`` of each address that was not there before, to be announced: the amphora's own
    ones, too. Where another amphora had them, neighbors go on sending to that one, and ours need not ask for
    them in their name: it knows those that have asked for a VIP.
    """
    if not isinstance(arguments, list):
        raise Malformed("interfaces: expected a list")
    interfaces = [parse(item) for item in arguments]
    present = _present()
    lines: list[str] = []
    added: list[list[str]] = []
    for wanted in interfaces:
        link = present.get(wanted.mac)
        if link is None:
            if wanted.addresses:
                raise Refused(f"no network interface has the MAC address {wanted.mac}; plug it first")
            continue
        if link.name == reserved:
            raise Refused(f"{wanted.mac} is {reserved}, the way to the controllers, which stays as it is")
        for setting in ("accept_ra", "accept_dad"):
            kernel.set_network(f"ipv6/conf/{link.name}/{setting}", "0")
        lines += batch(wanted, link)
        added += [[wanted.mac, item] for item in wanted.addresses if item not in link.addresses]
    if lines:
        _ip("-batch", "-", text="\n".join(lines) + "\n")
    return added


def parse(item: object) -> Wanted:
    """One wire ``Interface``; Malformed says what is wrong with it."""
    if not isinstance(item, dict):
        raise Malformed("interface: expected an object")
    own = [address(text) for text in _texts(item, "addresses")]
    vips = [address(text) for text in _texts(item, "vips")]
    gateways = {version: _gateway(item.get(f"gateway{version}"), version) for version in (4, 6)}
    mtu = item.get("mtu")
    if type(mtu) is not int or not 576 <= mtu <= 65536:
        raise Malformed(f"mtu: expected 576 to 65536, not {mtu!r}")
    return Wanted(
        mac(item.get("mac")),
        mtu,
        tuple(dict.fromkeys(own + vips)),
        frozenset(vips),
        {version: gateway for version, gateway in gateways.items() if gateway},
    )


def mac(text: object) -> str:
    """A MAC address in lower case."""
    if not isinstance(text, str) or not _MAC.fullmatch(text.lower()):
        raise Malformed(f"not a MAC address: {text!r}")
    return text.lower()


def address(text: object) -> str:
    """An address with prefix length, in canonical form."""
    try:
        if isinstance(text, str) and "%" not in text:
            return str(ipaddress.ip_interface(text))
    except ValueError:
        pass
    raise Malformed(f"not an address with prefix length: {text!r}")


def batch(wanted: Wanted, link: Link) -> list[str]:
    """The lines for ``ip -batch`` that turn ``link`` into what is wanted."""
    lines = []
    if not link.up or link.mtu != wanted.mtu:
        lines.append(f"link set dev {link.name} mtu {wanted.mtu} up")
    # Before the addresses: some routes go with them, and then there is none to delete.
    for version in sorted(link.routed - {*wanted.gateways}):
        lines.append(f"route del {_EVERYWHERE[version]} dev {link.name}")
    lines += [f"addr del {item} dev {link.name}" for item in sorted(link.addresses - {*wanted.addresses})]
    for item in wanted.addresses:
        if item not in link.addresses:
            lines.append(f"addr add {item} dev {link.name}{_flags(item, vip=item in wanted.vips)}")
    for version, gateway in wanted.gateways.items():
        lines.append(f"route replace {_EVERYWHERE[version]} via {gateway} dev {link.name}")
    return lines


def _flags(item: str, *, vip: bool) -> str:
    if ":" not in item:
        return ""
    # A deprecated address serves but is no source of new connections: those to members, and heartbeats,
    # leave from the amphora's own one.
    return " nodad preferred_lft 0" if vip else " nodad"


def _texts(item: Mapping[str, object], name: str) -> list[object]:
    value = item.get(name, [])
    if not isinstance(value, list):
        raise Malformed(f"{name}: expected a list")
    return value


def _gateway(text: object, version: int) -> str:
    if text in ("", None):
        return ""
    try:
        if isinstance(text, str) and "%" not in text:
            gateway = ipaddress.ip_address(text)
            if gateway.version == version:
                return str(gateway)
    except ValueError:
        pass
    raise Malformed(f"gateway{version}: not an IPv{version} address: {text!r}")


def _present() -> dict[str, Link]:
    """MAC address -> link, of all but the loopback."""
    found: dict[str, Link] = {}
    routed = _routed()
    for item in json.loads(_ip("-json", "addr", "show")):
        if item.get("link_type") == "ether":
            name = item["ifname"].partition("@")[0]
            addresses = {
                address(f"{info['local']}/{info['prefixlen']}")
                for info in item["addr_info"]
                if info.get("scope") != "link"
            }
            found.setdefault(
                item["address"],
                Link(
                    name,
                    item["mtu"],
                    "UP" in item["flags"],
                    frozenset(addresses),
                    frozenset(version for version in routed if name in routed[version]),
                ),
            )
    return found


def _routed() -> dict[int, set[str]]:
    """IP version -> names of the links with a default route; from /proc, which costs no process."""
    v4 = (line.split() for line in _lines("/proc/net/route"))
    v6 = (line.split() for line in _lines("/proc/net/ipv6_route"))
    return {
        4: {fields[0] for fields in v4 if fields[1] == fields[7] == "00000000"},
        6: {fields[9] for fields in v6 if fields[1] == "00" and fields[4].strip("0")},
    }


def _lines(path: str) -> Iterable[str]:
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return ()


def _ip(*arguments: str, text: str = "") -> str:
    status, said = program.run("ip", *arguments, text=text)
    if status:
        raise Refused(f"ip {' '.join(arguments)}: {said.strip()[:500]}")
    return said
