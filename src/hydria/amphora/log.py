"""The amphora's log: one line per event on standard error, which the starter directs to a file.

``logging`` would cost 7 ms and a megabyte of every amphora for one handler and one format. The file stays
within a bound, and what strangers can cause is not written each time (:class:`Rare`).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

LIMIT = 1 << 20  # bytes of the file, of which the newer half is kept
_LONGEST = 8000  # characters of an event
_STDERR = 2


@dataclass(slots=True)
class _Output:
    """``elsewhere``: what else gets each line. ``here``: whether standard error does."""

    elsewhere: Callable[[str], None] | None = None
    here: bool = True


_output = _Output()


def log(part: str, event: str) -> None:
    """Write one line; line breaks inside ``event`` (daemons' messages) do not start new ones.

    That there is no space for it keeps nobody from what he is at.
    """
    line = f"{part}: {' | '.join(event[:_LONGEST].splitlines())}"
    if _output.here:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with suppress(OSError):
            os.write(_STDERR, f"{stamp} {line}\n".encode(errors="replace"))
            if os.fstat(_STDERR).st_size > LIMIT:
                _shorten()
    if _output.elsewhere:
        _output.elsewhere(line)


def direct(elsewhere: Callable[[str], None] | None, *, here: bool) -> None:
    """Where lines of this process go from now on; ``elsewhere`` must not wait."""
    _output.elsewhere, _output.here = elsewhere, here or elsewhere is None


class Rare:
    """Writes at most one line in some time, and how many were left out since the one before."""

    def __init__(self, part: str, seconds: float = 10.0) -> None:
        self._part = part
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._left_out = 0

    def __call__(self, event: str) -> None:
        """Write it, or count it."""
        with self._lock:
            now = time.monotonic()
            if now < self._next_at:
                self._left_out += 1
                return
            self._next_at = now + self._seconds
            left_out, self._left_out = self._left_out, 0
        log(self._part, f"{event} ({left_out} more like it were not logged)" if left_out else event)


def _shorten() -> None:
    """Have the file begin later. Root part and agent write to it, and either may come here."""
    fcntl.lockf(_STDERR, fcntl.LOCK_EX)
    try:
        size = os.fstat(_STDERR).st_size
        if size <= LIMIT:
            return
        kept = b""
        with suppress(OSError):  # it may be open for writing alone
            kept = os.pread(_STDERR, LIMIT // 2, size - LIMIT // 2).partition(b"\n")[2]
        os.ftruncate(_STDERR, 0)
        os.write(_STDERR, kept)
    finally:
        fcntl.lockf(_STDERR, fcntl.LOCK_UN)
