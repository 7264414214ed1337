"""Pure: HAProxy's statistics as a heartbeat tells them.

HAProxy counts from zero in every new process; a heartbeat's counters never go back within one epoch, so what
the processes before have counted is kept here and added.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from hydria.wire.heartbeat import ListenerReport
from hydria.wire.proxies import INTERNAL, member_of

# bytes in, bytes out, connections, request errors
Totals = tuple[int, int, int, int]

_ZERO: Totals = (0, 0, 0, 0)
# A member can be in several backends, and a pool has one backend per listener: the first of these that any
# of them shows is its status.
_MEMBER_RANK = ("UP", "NO_CHECK", "DRAIN", "DOWN", "MAINT")
_MEMBER_WORDS = {"no": "NO_CHECK", "NOLB": "DRAIN"}


@dataclass(slots=True)
class Observation:
    """One answer to ``show stat``, by the ids that the objects have in the API."""

    listeners: dict[str, tuple[str, int, Totals]] = field(default_factory=dict)  # status, active, totals
    pools: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)


def observe(csv: str, leaving: Container[str] = ()) -> Observation:
    """Read ``show stat``; servers in ``leaving`` (``backend/server``) are on their way out: not told."""
    seen = Observation()
    header, *lines = csv.strip().splitlines()
    column = {name: index for index, name in enumerate(header.removeprefix("# ").split(","))}
    # Columns that could hold quoted commas come after all that is read here.
    last = max(column[name] for name in ("status", "weight", "scur", "stot", "bin", "bout", "ereq"))
    for line in lines:
        row = line.split(",", last + 1)
        if len(row) <= last or row[0].startswith(INTERNAL):
            continue
        proxy, server, status = row[0], row[1], row[column["status"]]
        if server == "FRONTEND":
            bin_, bout, stot, ereq = (int(row[column[name]] or 0) for name in ("bin", "bout", "stot", "ereq"))
            seen.listeners[proxy] = status, int(row[column["scur"]] or 0), (bin_, bout, stot, ereq)
        elif server == "BACKEND":
            pool = proxy.partition(":")[0]
            seen.pools[pool] = "UP" if "UP" in (seen.pools.get(pool), status) else "DOWN"
        elif f"{proxy}/{server}" not in leaving:
            word = member_status(status, weight=row[column["weight"]])
            member = member_of(server)
            seen.members[member] = _better(word, seen.members.get(member))
    return seen


def member_status(status: str, *, weight: str = "1") -> str:
    """``UP 1/3``, ``DOWN (agent)``, ``no check``, … in the heartbeat's words; UP without weight drains."""
    word = status.split(maxsplit=1)[0] if status else "DOWN"
    word = _MEMBER_WORDS.get(word, word)
    if word == "UP" and weight == "0":
        return "DRAIN"
    return word if word in _MEMBER_RANK else "DOWN"


def _better(status: str, other: str | None) -> str:
    return status if other is None else min(status, other, key=_MEMBER_RANK.index)


class Counters:
    """The totals of one epoch over all the processes that it has seen."""

    def __init__(self, base: Mapping[str, Iterable[int]] | None = None) -> None:
        self._base: dict[str, Totals] = {name: _totals(values) for name, values in (base or {}).items()}
        self._last: dict[str, Totals] = {}

    @property
    def base(self) -> dict[str, Totals]:
        """What earlier processes have counted; to be kept for the agent's next life."""
        return self._base

    def reports(self, seen: Observation) -> dict[str, ListenerReport]:
        """The listeners of an observation, with counters that are absolute within the epoch."""
        reports: dict[str, ListenerReport] = {}
        for name, (status, active, totals) in seen.listeners.items():
            self._last[name] = totals
            bytes_in, bytes_out, connections, errors = _sum(self._base.get(name, _ZERO), totals)
            reports[name] = ListenerReport(status, bytes_in, bytes_out, active, connections, errors)
        return reports

    def process_changed(self) -> None:
        """The process of the last observation counts no more; its successor starts at zero.

        Totals of listeners that are gone stay: one that is only disabled comes back under its id.
        """
        for name in list(self._last):
            self.ended(name)

    def ended(self, name: str) -> None:
        """Who counted a listener counts no more; whoever does next starts at zero."""
        self._base[name] = _sum(self._base.get(name, _ZERO), self._last.pop(name, _ZERO))


def _totals(values: Iterable[int]) -> Totals:
    bytes_in, bytes_out, connections, errors = values
    return bytes_in, bytes_out, connections, errors


def _sum(one: Totals, other: Totals) -> Totals:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
