"""How a controller program learns that it is to end."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time

LOG = logging.getLogger(__name__)
# Threads without which a program is dead although its process lives.
_VITAL = frozenset(
    {
        "api",
        "api-front",
        "look-for-work",
        "leases",
        "heartbeats",
        "record-heartbeats",
        "watch",
        "housekeeping",
        "renewals",
        "driver-agent-status",
        "driver-agent-stats",
        "driver-agent-get",
        "provider-agents",
    }
)
_SAME_KEYSTROKE = 0.5  # seconds: a wrapper may pass on what the terminal has sent to everybody already


class Ending:
    """When this process is to end: at SIGTERM or SIGINT, or when a thread that programs rest on has died.

    Made before anything else is imported: KeyboardInterrupt, which SIGINT raises by default, is lost when it
    comes in the midst of somebody's ``except:``, of which imports are full, and the program would go on. And
    made before anything that must be undone is done. A second signal ends the process at once: what a kill
    may leave behind, the next start puts right.
    """

    def __init__(self) -> None:
        self._asked_at = 0.0
        self.failed = False
        # The kernel may give a signal to any thread (after SIGCONT it does), and Python's handlers run in the
        # main one: what wakes that is a pipe, to which whichever thread is hit writes.
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        threading.excepthook = self._mourn

    def __bool__(self) -> bool:
        return self.failed or self._asked_at > 0

    def wait(self) -> None:
        """Until the process is to end."""
        while not self:
            select.select([self._reading], [], [])
            os.read(self._reading, 4096)

    def _ask(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        if not self._asked_at:
            self._asked_at = now
        elif now - self._asked_at > _SAME_KEYSTROKE:
            os.write(2, b"hydria: ended at once, what was being done is left as it is\n")
            os._exit(128 + number)

    def _mourn(self, death: threading.ExceptHookArgs) -> None:
        name = death.thread.name if death.thread else "?"
        cause = (death.exc_type, death.exc_value or death.exc_type(), death.exc_traceback)
        if name not in _VITAL:
            LOG.error("The thread '%s' has ended unexpectedly", name, exc_info=cause)
            return
        LOG.critical("The thread '%s' has ended unexpectedly, and so does this process", name, exc_info=cause)
        self.failed = True
        os.write(self._writing, b"!")
