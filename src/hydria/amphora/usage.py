"""How much of processors and memory an amphora uses: what /proc shows in there are its own processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_FAMILIES = (
    ("octavia_loadbalancer_cpu", "Load balancer CPU utilization (percentage)."),
    ("octavia_loadbalancer_memory", "Load balancer memory utilization (percentage)."),
)


class Usage:
    """Percentages; of processors, since it was asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at, self._seconds = time.monotonic(), _used()[0]
        self._cpu = 0.0

    def lines(self) -> list[str]:
        """Two families in Prometheus' text format."""
        lines = []
        for (name, said), value in zip(_FAMILIES, self._percentages(), strict=True):
            lines += [f"# HELP {name} {said}\n", f"# TYPE {name} gauge\n", f"{name} {value:.1f}\n"]
        return lines

    def _percentages(self) -> tuple[float, float]:
        seconds, memory = _used()
        with self._lock:
            now = time.monotonic()
            passed = now - self._at
            if passed >= 1:  # a shorter time is no measure
                # A process that has ended took its seconds with it.
                self._cpu = 100 * max(0.0, seconds - self._seconds) / passed / (os.cpu_count() or 1)
                self._at, self._seconds = now, seconds
            return min(100.0, self._cpu), 100 * memory / os.sysconf("SC_PHYS_PAGES") / _PAGE


def _used() -> tuple[float, float]:
    """Seconds of processor time, and bytes of memory that no other process has a part in."""
    seconds = memory = 0.0
    for entry in _processes():
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / _TICKS
            resident, shared = (entry / "statm").read_text().split()[1:3]
            memory += (int(resident) - int(shared)) * _PAGE
    return seconds, memory


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
