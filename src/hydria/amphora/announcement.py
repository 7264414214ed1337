"""Root part: telling the network who has a VIP now (gratuitous ARP, unsolicited neighbor advertisement)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Container
from functools import cache

from hydria.amphora import kernel, links
from hydria.amphora.faults import Malformed, Refused

_ARP, _IPV6 = 0x0806, 0x86DD
_ALL_NODES = "ff02::1"


def send(arguments: object, added: Container[tuple[str, str]]) -> None:
    """Announce each ``[mac, address]`` once, on the link with that MAC address.

    Only those ``added`` last: an agent that was broken into shall not call any address on a network its own.
    """
    if not isinstance(arguments, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in arguments
    ):
        raise Malformed("announce: expected a list of [mac, address]")
    present = kernel.links_by_mac()
    for mac, address in arguments:
        pair = links.mac(mac), links.address(address)
        name = present.get(pair[0])
        if not name:
            raise Refused(f"no network interface has the MAC address {mac}")
        if pair not in added:
            raise Refused(f"{address} was not added to {name} just now")
        packet = frame(pair[0], pair[1].partition("/")[0])
        _packets().sendto(packet, (name, int.from_bytes(packet[12:14], "big")))


@cache
def _packets() -> socket.socket:
    """One socket for good, bound to nothing: the kernel takes 15 ms to bind or close one."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def frame(mac: str, address: str) -> bytes:
    """The Ethernet frame that says that ``mac`` has ``address``."""
    sender = bytes.fromhex(mac.replace(":", ""))
    return _neighbor_advertisement(sender, address) if ":" in address else _gratuitous_arp(sender, address)


def _gratuitous_arp(mac: bytes, address: str) -> bytes:
    """RFC 5227, section 3: an ARP request in which sender and target are the address announced."""
    ip = socket.inet_aton(address)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ip + bytes(6) + ip
    return b"\xff" * 6 + mac + struct.pack("!H", _ARP) + request


def _neighbor_advertisement(mac: bytes, address: str) -> bytes:
    """RFC 4861, section 4.4: unsolicited, with the override flag and the link-layer address."""
    source = socket.inet_pton(socket.AF_INET6, address)
    target = socket.inet_pton(socket.AF_INET6, _ALL_NODES)
    message = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + source + b"\x02\x01" + mac
    pseudo_header = source + target + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    checksum = _checksum(pseudo_header + message)
    message = message[:2] + struct.pack("!H", checksum) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 255) + source + target
    return b"\x33\x33" + target[-4:] + mac + struct.pack("!H", _IPV6) + header + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
