"""Root part: the kernel's tracked connections, by the mark of the target that they were sent to.

Netlink messages as in linux/netfilter/nfnetlink_conntrack.h; numbers in attributes are in network order.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterator

_NETFILTER = 12  # NETLINK_NETFILTER
_GET, _DELETE = 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, _DELETE
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_MARK, _MARK_MASK = 8, 21
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_GENERIC = b"\0\0\0\0"  # struct nfgenmsg: any family
_ALL = 0xFFFF_FFFF
_BUFFER = 1 << 18


def forget(marks: Collection[int]) -> None:
    """Remove the flows with these marks; what comes next of each is a new flow."""
    if not marks:
        return
    with _open() as netlink:
        for mark in marks:
            body = _GENERIC + _attribute(_MARK, mark) + _attribute(_MARK_MASK, _ALL)
            netlink.send(_HEADER.pack(_HEADER.size + len(body), _DELETE, _REQUEST | _ACK, 0, 0) + body)
            for kind, payload in _messages(netlink.recv(_BUFFER)):
                code = struct.unpack_from("=i", payload)[0] if kind == _ERROR else 0
                if code:
                    raise OSError(-code, f"conntrack: cannot remove the flows with mark {mark:#x}")


def count() -> Counter[int]:
    """Mark -> how many flows have it."""
    found: Counter[int] = Counter()
    with _open() as netlink:
        netlink.send(_HEADER.pack(_HEADER.size + len(_GENERIC), _GET, _REQUEST | _DUMP, 0, 0) + _GENERIC)
        while True:
            for kind, payload in _messages(netlink.recv(_BUFFER)):
                if kind in (_DONE, _ERROR):
                    return found
                mark = _mark(payload[len(_GENERIC) :])
                if mark:
                    found[mark] += 1


def _open() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    netlink.settimeout(5)
    return netlink


def _attribute(kind: int, value: int) -> bytes:
    return struct.pack("=HH", 8, kind) + struct.pack("!I", value)


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each message."""
    while len(received) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(received)
        yield kind, received[_HEADER.size : length]
        received = received[(length + 3) & ~3 :]


def _mark(attributes: bytes) -> int:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind & 0x3FFF == _MARK:
            return int(struct.unpack_from("!I", attributes, 4)[0])
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return 0
