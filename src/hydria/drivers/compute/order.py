"""What a compute driver tells its fork server, and what comes back. Standard library alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

LIMIT = 1 << 17  # bytes of an order
# Through an order's pipe: TAKEN, then STARTED when the amphora's first process lives, or what went wrong.
TAKEN, STARTED = b"t", b"s"


@dataclass(frozen=True)
class Order:
    """An amphora to be started.

    namespace: the path of its network namespace. links: what ``ip -batch`` reads there. log: where its output
    goes. state_dir, boot_dir, joins, command: see :mod:`.enclosure`.
    """

    namespace: str
    state_dir: str
    boot_dir: str
    joins: list[str]
    links: str
    log: str
    command: list[str]

    def encode(self) -> bytes:
        """The packet."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, packet: bytes) -> Order:
        """The order of a packet."""
        return cls(**json.loads(packet))
