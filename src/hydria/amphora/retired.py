"""HAProxy processes that were replaced and finish their last connections, no more of them than agreed.

Each ends by itself with its last connection or its hard-stop-after. But each has about 10 MB, and where
connections last, every reload can leave one: the oldest is ended before they are too many.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

from hydria.amphora.log import log


class Retired:
    """``limit``: how many may live at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pidfds: list[int] = []  # the oldest first

    def add(self, pidfd: int) -> None:
        """Mind one more, and end the oldest if that is too many; the descriptor is closed in time."""
        self._bury()
        self._pidfds.append(pidfd)
        while len(self._pidfds) > self._limit:
            oldest = self._pidfds.pop(0)
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(oldest, signal.SIGTERM)
            os.close(oldest)
            log("agent", f"more than {self._limit} replaced HAProxy processes live: ended the oldest")

    def _bury(self) -> None:
        """Forget those that have ended."""
        poll = select.poll()
        for pidfd in self._pidfds:
            poll.register(pidfd, select.POLLIN)
        for pidfd, _ in poll.poll(0):
            self._pidfds.remove(pidfd)
            os.close(pidfd)
