"""What the next life of the agent has to know about the HAProxy process, to take it over."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from hydria.amphora import workdir
from hydria.wire.encoding import encode


@dataclass(frozen=True, slots=True)
class Running:
    """pid and structure: of the process. epoch, base: the statistics that it continues (:mod:`.counters`).

    datagrams: the base of the datagram services.
    """

    pid: int = 0
    structure: str = ""
    epoch: int = 0
    base: dict[str, list[int]] = field(default_factory=dict)
    datagrams: dict[str, list[int]] = field(default_factory=dict)

    def encoded(self) -> str:
        """What to keep of it."""
        return encode(self).decode()

    @classmethod
    def read(cls) -> Running:
        """What was kept last; an empty one when there is nothing to be read."""
        try:
            return cls(**json.loads(workdir.read(workdir.RUNNING) or b"{}"))
        except (ValueError, TypeError):
            return cls()


def new_epoch() -> int:
    """Microseconds since 1970: later than every epoch before, and exact in JSON."""
    return time.time_ns() // 1000
