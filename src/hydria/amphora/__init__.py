"""The amphora agent: what runs in an amphora and makes the desired state true there.

A controller puts a desired state; the agent has the daemons check it, switches to it, confirms, and sends
heartbeats. Two processes: the small *root part* (:mod:`.root`, PID 1 of a namespace amphora) keeps the few
rights that are needed and serves a closed set of commands; the unprivileged *agent* (:mod:`.agent`) speaks
with the controllers and with HAProxy. Standard library and :mod:`hydria.wire` only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hydria.amphora import root


def main(boot_dir: Path) -> None:
    """Run one amphora from its boot directory until SIGTERM."""
    sys.exit(root.run(boot_dir))
