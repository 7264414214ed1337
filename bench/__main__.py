"""``make bench ARGS='controlplane dataplane'``: the benchmarks named, or all."""

from __future__ import annotations

import signal
import sys

from bench import (
    backlog,
    boots,
    changes,
    controlplane,
    cost,
    dataplane,
    fleet,
    growth,
    heartbeats,
    scale,
    strangers,
    traffic,
)

BENCHMARKS = {
    "controlplane": controlplane.main,
    "boots": boots.main,
    "scale": scale.main,
    "backlog": backlog.main,
    "growth": growth.main,
    "dataplane": dataplane.main,
    "traffic": traffic.main,
    "cost": cost.main,
    "changes": changes.main,
    "fleet": fleet.main,
    "heartbeats": heartbeats.main,
    "strangers": strangers.main,
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    # As Ctrl-C does: what a benchmark has made is taken down on the way out.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    for name in names:
        print(f"== {name}", flush=True)
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
