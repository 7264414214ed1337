"""Datagram services of the applied state: told to the root part, watched, and counted."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydria.amphora import datagrams
from hydria.amphora.counters import Counters, Observation
from hydria.amphora.faults import Failed, Refused
from hydria.amphora.log import Rare
from hydria.amphora.probes import Key, Prober
from hydria.amphora.root_part import RootPart
from hydria.wire.heartbeat import ListenerReport
from hydria.wire.state import Service, Target

_SERVING = ("UP", "NO_CHECK", "DRAIN")
# Seconds that a count is good for: heartbeats that changes bring forward do not ask the kernel again.
_COUNTED = 0.9
_STATES = ("DOWN", "UP", "MAINT", "DRAIN")  # as HAProxy's exporter has them


class Services:
    """``follow`` is called whenever a target has gone up or down: whoever owns the state then calls back."""

    def __init__(self, root: RootPart, follow: Callable[[], None]) -> None:
        self._root = root
        self._prober = Prober(follow)
        self.counters = Counters()
        self._told: tuple[Sequence[Service], Mapping[str, Sequence[str]]] = ((), {})
        self._unsure = False  # whether the packet filter may have been told something else
        self._not_done = Rare("agent")
        self._counted: Mapping[str, Sequence[int]] = {}
        self._counted_until = 0.0
        self._states: Mapping[Key, str] = {}  # those that the packet filter was last told to follow

    def switch(self, services: Sequence[Service]) -> None:
        """Serve these and no others; after Refused and Failed, some of it may be done."""
        self._prober.watch(services)
        self._tell(services)

    def restore(self, services: Sequence[Service]) -> None:
        """Serve these and no others, whatever is there."""
        self._unsure = True
        self.switch(services)

    def follow(self) -> None:
        """Send new flows, and those of who went down, to who is up."""
        try:
            self._tell(self._told[0])
        except (Refused, Failed) as refusal:
            self._not_done(f"the packet filter does not follow the probes: {refusal}")

    def level(self) -> bool:
        """Have new flows go to who has the fewest; whether that is to be done again."""
        if not datagrams.leveled(self._told[0]):
            return False
        self._ask("datagram_levels", {})
        return True

    def begin(self, base: Mapping[str, Sequence[int]] | None) -> None:
        """Count on from this base, in the epoch that it belongs to; None: from zero, in a new one."""
        self.counters = Counters(base)
        self._counted_until = 0.0
        if base is None:
            self._ask("datagram_counters", {"reset": True})

    def observe(self, seen: Observation, reports: dict[str, ListenerReport]) -> None:
        """Add what can be said of the services to what HAProxy says of the other listeners."""
        services = self._told[0]
        if not services:
            return
        self.follow()  # what is then said of the targets is what the packet filter goes by
        counted = self._count()
        marks = datagrams.marks(services)
        found = Observation()
        for service in services:
            names = datagrams.counters(service)
            if names[0] not in counted:
                continue
            new, inwards, outwards = (counted[name] for name in names)
            flows = (f"mark {marks[service.listener, target.name]}" for target in service.targets)
            active = sum(counted.get(mark, (0,))[0] for mark in flows)
            found.listeners[service.listener] = "OPEN", active, (inwards[1], outwards[1], new[0], 0)
        reports |= self.counters.reports(found)
        for service in services:
            self._judge(service, seen)

    def _count(self) -> Mapping[str, Sequence[int]]:
        now = time.monotonic()
        if now >= self._counted_until:
            self._counted = self._ask("datagram_counters", {}) or {}
            self._counted_until = now + _COUNTED
        return self._counted

    def metrics(
        self, reports: Mapping[str, ListenerReport], members: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """What Prometheus is told about them: family -> labels and value of each sample."""
        told: defaultdict[str, list[str]] = defaultdict(list)
        for service in self._told[0]:
            report = reports.get(service.listener)
            of_listener = f'listener="{service.listener}"'
            for family, value in _of_listener(report) if report else ():
                told[f"octavia_listener_{family}"].append(f"{{{of_listener}}} {value}")
            for target in service.targets:
                labels = f'pool="{service.pool}",{of_listener},member="{target.name}"'
                word = members.get(target.name, "NO_CHECK")
                state = "UP" if word == "NO_CHECK" else word
                told["octavia_member_status"] += [
                    f'{{{labels},state="{each}"}} {int(each == state)}' for each in _STATES
                ]
                told["octavia_member_weight"].append(f"{{{labels}}} {target.weight}")
        return told

    def _judge(self, service: Service, seen: Observation) -> None:
        words = {target.name: self._word(service, target) for target in service.targets}
        seen.members |= words
        if service.pool:
            up = not words or any(word in _SERVING for word in words.values())
            seen.pools[service.pool] = "UP" if up else "DOWN"

    def _word(self, service: Service, target: Target) -> str:
        """A target's status in the heartbeat's words."""
        if not target.enabled:
            return "MAINT"
        state = self._states.get((service.listener, target.name), "NO_CHECK")
        return "DRAIN" if state == "UP" and not target.weight else state

    def _tell(self, services: Sequence[Service]) -> None:
        self._states = self._prober.states()
        down: dict[str, list[str]] = {}
        for (listener, name), state in self._states.items():
            if state == "DOWN":
                down.setdefault(listener, []).append(name)
        if (services, down) == self._told and not self._unsure:
            return
        self._unsure = True  # until the root part has said that it is done
        anew = self._root.ask("datagrams", {"services": services, "down": down})
        self._unsure = False
        kept = {service.listener for service in services}
        for service in self._told[0]:
            if anew or service.listener not in kept:
                self.counters.ended(service.listener)
        if anew or services != self._told[0]:
            self._counted_until = 0.0
        self._told = (services, down)

    def _ask(self, command: str, arguments: object) -> Any:
        """What the root part answers; None, and a word in the log, when it does not do it."""
        try:
            return self._root.ask(command, arguments)
        except (Refused, Failed) as refusal:
            self._not_done(f"{command}: {refusal}")
            return None


def _of_listener(report: ListenerReport) -> Iterator[tuple[str, int]]:
    yield "bytes_in_total", report.bytes_in
    yield "bytes_out_total", report.bytes_out
    yield "connections_total", report.total_connections
    yield "sessions_total", report.total_connections
    yield "current_sessions", report.active_connections
