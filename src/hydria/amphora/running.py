"""What the next life of the agent has to know: which epochs there were, and the HAProxy process to take over.

Both are sealed: whoever has broken into HAProxy cannot make the agent count on in an epoch that is later than
all that will ever come.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from hydria.amphora import workdir
from hydria.amphora.log import log
from hydria.amphora.seal import Seal
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


class Lives:
    """What one life of the agent leaves to the next. ``key``: the amphora's own."""

    def __init__(self, key: str) -> None:
        self._epoch = Seal(key, "hydria-kept-epoch")
        self._running = Seal(key, "hydria-kept-running")

    def new_epoch(self) -> int:
        """Later than every epoch before, whatever the clock says by now, and exact in JSON.

        Microseconds since 1970, or one more than the last, whichever is later. So a clock that was put back
        needs the file, and a file that is lost needs the clock.
        """
        kept = self._epoch.read(workdir.EPOCH) or b"0"
        epoch = max(int(kept) + 1, time.time_ns() // 1000)
        _note(self._epoch, workdir.EPOCH, b"%d" % epoch)
        return epoch

    def running(self) -> Running:
        """What was noted last of the HAProxy process; an empty one when there is nothing to be read."""
        try:
            return Running(**json.loads(self._running.read(workdir.RUNNING) or b"{}"))
        except (ValueError, TypeError):
            return Running()

    def note(self, running: Running) -> None:
        """Keep what is known of the HAProxy process."""
        if not _note(self._running, workdir.RUNNING, encode(running)):
            workdir.remove(workdir.RUNNING)  # what was noted of an earlier one would be wrong


def _note(seal: Seal, name: str, body: bytes) -> bool:
    """Write what the next life can do without: a full disk shall not stop this one."""
    try:
        seal.write(name, body)
    except OSError as error:
        log("agent", f"cannot write {name}: {error}")
        return False
    return True
