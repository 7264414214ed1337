"""Root part: the kernel's tracked connections, by the mark of the target that they were sent to.

There are two ways to see them. Netlink goes through the whole table, which all namespaces share, and no
packet moves on that processor meanwhile: more than 10 ms for a large table, even if nothing is in it. The
kernel's list skips what is empty, and packets go on, but some kernels begin anew for each page of it. So a
few flows are read from the list, and many, of which netlink tells some at a time, through netlink.

Netlink messages as in linux/netfilter/nfnetlink_conntrack.h; numbers in attributes are in network order.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from hydria.amphora import kernel
from hydria.amphora.log import log

T = TypeVar("T")

_NETFILTER = 12  # NETLINK_NETFILTER
_NEW, _GET, _DELETE = 0x0100, 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, _GET, _DELETE
_REQUEST, _ACK, _DUMP, _CREATE = 0x1, 0x4, 0x300, 0x400
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY, _STATUS, _SOURCE_NAT, _TIMEOUT, _MARK = 1, 2, 3, 6, 7, 8
_DESTINATION_NAT, _ZONE, _MARK_MASK = 13, 18, 21
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL = 1, 2
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_NAT_PORTS, _PORT_MIN, _PORT_MAX = 3, 1, 2
# Source and destination in a tuple; least and greatest address of a translation.
_ADDRESSES = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}
_NAT_ADDRESSES = {socket.AF_INET: (1, 2), socket.AF_INET6: (4, 5)}
_NESTED = 0x8000
_PASSING = (
    1 << 3 | 1 << 10
)  # IPS_CONFIRMED, as all are that we make; IPS_FIXED_TIMEOUT, no packet prolongs it
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_GENERIC = struct.Struct("=BBH")  # struct nfgenmsg: family (0: any), version, resource
_ALL = 0xFFFF_FFFF
_BUFFER = 1 << 18
_BATCH = 100  # requests that are sent at once
_LIST, _TRACKED = Path("/proc/net/nf_conntrack"), "netfilter/nf_conntrack_count"
_FEW = 1000
_MARKED = re.compile(rb" mark=(\d+)")
_PLACES = re.compile(rb" (?:src|dst|sport|dport)=(\S+)")
ZONES = 0xFFFF  # 1 to this; 0 is where flows usually are
LATE_SECONDS = 5  # that answers are expected


class Way(NamedTuple):
    """A datagram's addresses and ports, as the kernel writes them."""

    source: bytes
    source_port: bytes
    destination: bytes
    destination_port: bytes

    def back(self) -> Way:
        return Way(self.destination, self.destination_port, self.source, self.source_port)


class Flow(NamedTuple):
    """A tracked flow of UDP or SCTP: its address family, IP protocol number, mark, and both ways."""

    family: int
    protocol: int
    mark: int
    original: Way
    reply: Way


def expect_answers(marks: Collection[int], zone: int) -> list[Way]:
    """Have the kernel know, in a zone apart, the answers to the flows of UDP with these marks.

    Returns what those answers look like that may be under way: whoever sends them to the zone has them find
    their clients when the flows themselves are gone. All of it is forgotten after some seconds. The zone is
    one that was not used in that time. Associations of SCTP end with their target; no answer is worth it.
    """
    expected = {
        flow.reply: _message(_NEW, _ACK | _CREATE, flow.family, _answered(flow, zone))
        for flow in flows(marks)
        if flow.protocol == socket.IPPROTO_UDP
    }
    made: list[Way] = []
    with _open() as netlink:
        for batch in _batches(list(expected)):
            codes = _ask(netlink, *(expected[way] for way in batch))
            made += [way for way, code in zip(batch, codes, strict=True) if not code]
    if len(made) < len(expected):
        log("root", f"conntrack: {len(expected) - len(made)} flows end without their last answers")
    return made


def forget(marks: Collection[int]) -> None:
    """Remove the flows with these marks; what comes next of each is a new flow."""
    if not marks:
        return
    with _open() as netlink:
        for mark in marks:
            body = _number(_MARK, mark) + _number(_MARK_MASK, _ALL)
            for code in _ask(netlink, _message(_DELETE, _ACK, 0, body)):
                if code:
                    raise OSError(code, f"conntrack: cannot remove the flows with mark {mark:#x}")


def forget_flows(which: Iterable[Flow]) -> None:
    """Remove these flows, those that have ended by themselves excepted."""
    requests = [
        _message(_DELETE, _ACK, flow.family, _nested(_ORIGINAL, _tuple(flow, flow.original)))
        for flow in which
    ]
    if not requests:
        return
    with _open() as netlink:
        for batch in _batches(requests):
            for code in _ask(netlink, *batch):
                if code not in (0, errno.ENOENT):
                    raise OSError(code, "conntrack: cannot remove a flow")


def flows(marks: Collection[int]) -> Iterator[Flow]:
    """The flows of UDP and SCTP with one of these marks."""
    if not marks:
        return
    lines = _listed()
    for flow in _dumped_flows() if lines is None else _listed_flows(lines):
        if flow.mark in marks:
            yield flow


def count() -> Counter[int]:
    """Mark -> how many flows have it."""
    lines = _listed()
    every = (_mark(told) for _, told in _dumped()) if lines is None else map(_listed_mark, lines)
    return Counter(mark for mark in every if mark)


def tracked() -> int:
    """How many flows there are, of all kinds."""
    return kernel.read_network(_TRACKED)


def _listed() -> list[bytes] | None:
    """The kernel's list, a flow a line; None where netlink is the better way, or the only one."""
    if tracked() > _FEW:
        return None
    try:
        return _LIST.read_bytes().splitlines()
    except OSError:
        return None


def _listed_flows(lines: Iterable[bytes]) -> Iterator[Flow]:
    for line in lines:
        kind, _, protocol, number, _ = line.split(None, 4)
        if protocol in (b"udp", b"sctp"):
            family = socket.AF_INET if kind == b"ipv4" else socket.AF_INET6
            places = [found.decode() for found in _PLACES.findall(line)]
            original, reply = _listed_way(family, places[:4]), _listed_way(family, places[4:])
            yield Flow(family, int(number), _listed_mark(line), original, reply)


def _listed_mark(line: bytes) -> int:
    """0 for none."""
    found = _MARKED.search(line)
    return int(found[1]) if found else 0


def _listed_way(family: int, places: Sequence[str]) -> Way:
    source, destination, *ports = places
    from_port, to_port = (struct.pack("!H", int(port)) for port in ports)
    return Way(socket.inet_pton(family, source), from_port, socket.inet_pton(family, destination), to_port)


def _answered(flow: Flow, zone: int) -> bytes:
    """A flow in a zone, with the translations of one outside."""
    family, reply = flow.family, flow.reply
    return b"".join(
        (
            _nested(_ORIGINAL, _tuple(flow, flow.original)),
            _nested(_REPLY, _tuple(flow, flow.original.back())),
            _nested(_DESTINATION_NAT, _translation(family, reply.source, reply.source_port)),
            _nested(_SOURCE_NAT, _translation(family, reply.destination, reply.destination_port)),
            _attribute(_ZONE, struct.pack("!H", zone)),
            _number(_TIMEOUT, LATE_SECONDS),
            _number(_STATUS, _PASSING),
        )
    )


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _dumped() -> Iterator[tuple[int, bytes]]:
    """Address family and attributes of each."""
    with _open() as netlink:
        netlink.send(_message(_GET, _DUMP, 0, b""))
        while True:
            for kind, payload in _messages(netlink.recv(_BUFFER)):
                if kind in (_DONE, _ERROR):
                    return
                yield payload[0], payload[_GENERIC.size :]


def _dumped_flows() -> Iterator[Flow]:
    for family, attributes in _dumped():
        flow = _attributes(attributes)
        protocol = _protocol(flow[_ORIGINAL])
        if protocol in (socket.IPPROTO_UDP, socket.IPPROTO_SCTP):
            original, reply = _way(family, flow[_ORIGINAL]), _way(family, flow[_REPLY])
            yield Flow(family, protocol, _mark(attributes), original, reply)


def _ask(netlink: socket.socket, *requests: bytes) -> list[int]:
    """Send requests at once; the error number that each is answered with, 0 for none."""
    netlink.send(b"".join(requests))
    codes: list[int] = []
    while len(codes) < len(requests):
        for kind, payload in _messages(netlink.recv(_BUFFER)):
            if kind == _ERROR:
                codes.append(-struct.unpack_from("=i", payload)[0])
    return codes


def _open() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    netlink.settimeout(5)
    return netlink


def _message(kind: int, flags: int, family: int, body: bytes) -> bytes:
    length = _HEADER.size + _GENERIC.size + len(body)
    return _HEADER.pack(length, kind, _REQUEST | flags, 0, 0) + _GENERIC.pack(family, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _tuple(flow: Flow, way: Way) -> bytes:
    source, destination = _ADDRESSES[socket.AddressFamily(flow.family)]
    addresses = _attribute(source, way.source) + _attribute(destination, way.destination)
    protocol = (
        _attribute(_PROTOCOL_NUMBER, bytes((flow.protocol,)))
        + _attribute(_SOURCE_PORT, way.source_port)
        + _attribute(_DESTINATION_PORT, way.destination_port)
    )
    return _nested(_TUPLE_ADDRESSES, addresses) + _nested(_TUPLE_PROTOCOL, protocol)


def _translation(family: int, address: bytes, port: bytes) -> bytes:
    addresses = (_attribute(kind, address) for kind in _NAT_ADDRESSES[socket.AddressFamily(family)])
    ports = _attribute(_PORT_MIN, port) + _attribute(_PORT_MAX, port)
    return b"".join(addresses) + _nested(_NAT_PORTS, ports)


def _protocol(nested: bytes) -> int:
    return _attributes(_attributes(nested)[_TUPLE_PROTOCOL])[_PROTOCOL_NUMBER][0]


def _way(family: int, nested: bytes) -> Way:
    """What a tuple of UDP or SCTP says."""
    parts = _attributes(nested)
    addresses, protocol = _attributes(parts[_TUPLE_ADDRESSES]), _attributes(parts[_TUPLE_PROTOCOL])
    source, destination = _ADDRESSES[socket.AddressFamily(family)]
    return Way(addresses[source], protocol[_SOURCE_PORT], addresses[destination], protocol[_DESTINATION_PORT])


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each message."""
    at = 0
    while at + _HEADER.size <= len(received):
        length, kind, *_ = _HEADER.unpack_from(received, at)
        yield kind, received[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Mapping[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)
    return found


def _mark(attributes: bytes) -> int:
    """0 for none. By itself, because it is asked of every flow."""
    at = 0
    while at + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, at)
        if kind & 0x3FFF == _MARK:
            return int(struct.unpack_from("!I", attributes, at + 4)[0])
        at += max(4, (length + 3) & ~3)
    return 0
