"""What a compute driver tells its fork server, and what comes back. Standard library alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

LOG = "agent.log"  # in the boot directory: where an amphora's output goes
LIMIT = 1 << 17  # bytes of an order
# Through an order's pipe: TAKEN, then STARTED when it is carried out (the amphora's first process lives, the
# room is there), FORBIDDEN and why where the kernel gives no user namespace, or what went wrong.
TAKEN, STARTED, FORBIDDEN = b"t", b"s", b"f"


@dataclass(frozen=True)
class Room:
    """A network namespace to be made, which belongs to a user namespace of its own.

    name: that of the network namespace. user: the number of the amphora's own user, the same inside as on the
    host. root: the number on the host of who is root inside.
    """

    name: str
    user: int
    root: int


@dataclass(frozen=True)
class Order:
    """An amphora to be started. Its boot directory comes along as a descriptor.

    namespace: the path of its network namespace. state_dir: is hidden from it. links: what ``ip -batch``
    reads there. joins: the ``cgroup.procs`` files of its control groups. command: runs in place of the agent,
    with /run/amphora as its last argument (tests). visible: what it sees of the host besides what all do.
    boxed: whether its network namespace belongs to a user namespace of its own, as a :class:`Room` does.
    """

    namespace: str
    state_dir: str
    joins: list[str]
    links: str
    command: list[str]
    visible: list[str]
    boxed: bool


def encode(order: Order | Room) -> bytes:
    """The packet."""
    return json.dumps({type(order).__name__: asdict(order)}).encode()


def decode(packet: bytes) -> Order | Room:
    """The order of a packet."""
    ((kind, fields),) = json.loads(packet).items()
    return Room(**fields) if kind == Room.__name__ else Order(**fields)
