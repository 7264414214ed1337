"""The amphora's log: one line per event on standard error, which the starter directs to a file.

``logging`` would cost 7 ms and a megabyte of every amphora for one handler and one format.
"""

from __future__ import annotations

import sys
import time


def log(part: str, event: str) -> None:
    """Write one line; line breaks inside ``event`` (daemons' messages) do not start new ones."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{stamp} {part}: {' | '.join(event.splitlines())}\n")
    sys.stderr.flush()
