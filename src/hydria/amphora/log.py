"""The amphora's log: one line per event on standard error, which the starter directs to a file.

``logging`` would cost 7 ms and a megabyte of every amphora for one handler and one format.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Output:
    """``elsewhere``: what else gets each line. ``here``: whether standard error does."""

    elsewhere: Callable[[str], None] | None = None
    here: bool = True


_output = _Output()


def log(part: str, event: str) -> None:
    """Write one line; line breaks inside ``event`` (daemons' messages) do not start new ones."""
    line = f"{part}: {' | '.join(event.splitlines())}"
    if _output.here:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sys.stderr.write(f"{stamp} {line}\n")
        sys.stderr.flush()
    if _output.elsewhere:
        _output.elsewhere(line)


def direct(elsewhere: Callable[[str], None] | None, *, here: bool) -> None:
    """Where lines of this process go from now on; ``elsewhere`` must not wait."""
    _output.elsewhere, _output.here = elsewhere, here or elsewhere is None
