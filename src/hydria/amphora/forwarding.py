"""Root part: datagram services made true, and counted."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from hydria.amphora import conntrack, datagrams, kernel, program
from hydria.amphora.faults import Failed, Malformed, Refused
from hydria.amphora.payload import decode_services
from hydria.wire.state import Service

Endpoint = tuple[str, int]  # address and port

_MANY_FLOWS = 20_000  # from here on they are not counted one by one
_IPV4_BYTES = 4


class Forwarding:
    """Knows what it has told the packet filter. ``closed``: the interface that nothing is forwarded to."""

    def __init__(self, closed: str) -> None:
        self._closed = closed
        self._made: list[str] | None = None  # nothing is known of what an earlier life has left
        self._told: tuple[Sequence[Service], Mapping[str, Collection[str]]] = ((), {})
        self._levels = ""
        self._serving: Mapping[int, Endpoint] = {}
        self._answering: set[Endpoint] = set()  # who may have something to say to flows that were moved
        self._moves = 0

    def apply(self, arguments: object) -> bool:
        """``{"services": […], "down": {listener: [target]}}``: serve these, and no flow to who does not.

        Returns whether the counters began again at zero.
        """
        if not isinstance(arguments, dict):
            raise Malformed("datagrams: expected an object")
        services, down = decode_services(arguments.get("services")), _down(arguments.get("down"))
        if not services and self._made == []:
            return False
        anew = self._made is None
        serving = _serving(services, down)
        flows = _flows() if datagrams.leveled(services) else datagrams.NONE
        script = datagrams.script(services, down, self._closed, flows)
        begin = {serving[mark] for mark in serving.keys() - self._serving.keys()}
        # From who serves again answers of new flows come, too, which are nowhere else.
        again = bool(services) and not begin.isdisjoint(self._answering)
        self._load(script.text(self._made) + (datagrams.none_late() if again else ""))
        former, self._made = self._told[0], script.made
        self._told, self._levels = (services, down), datagrams.levels(services, down, flows)
        kernel.forward(on=bool(services))
        if again or not services:
            self._answering.clear()
        self._let_go(self._serving.keys() - serving.keys(), _dead(services, down))
        self._cut_off(former, services)
        self._serving = serving
        return anew

    def level(self, _arguments: object) -> None:
        """Send new flows to who has the fewest now, where services balance by that."""
        levels = datagrams.levels(*self._told, _flows())
        if levels != self._levels:
            self._load(levels)
            self._levels = levels

    def _let_go(self, gone: AbstractSet[int], dead: AbstractSet[int]) -> None:
        """Move the flows of targets that are gone; those who live may still answer what they were asked."""
        self._moves += 1
        zone = self._moves % conntrack.ZONES + 1
        answers = [_answer(way) for way in conntrack.expect_answers(gone - dead, zone)] if self._made else []
        self._answering |= {(address, port) for address, port, _, _ in answers}
        try:
            if answers:
                self._load(datagrams.late(answers, zone, conntrack.LATE_SECONDS))
        finally:
            conntrack.forget(gone)

    def _cut_off(self, former: Iterable[Service], services: Sequence[Service]) -> None:
        """Forget the flows of clients that are not allowed any more.

        None of their packets passes, but the flows would count for the connection limit and LEAST_CONNECTIONS
        until the kernel forgets them, which for SCTP may take days.
        """
        before = {service.listener: service.allowed for service in former}
        marks = datagrams.marks(services)
        admitted = {
            marks[service.listener, target.name]: datagrams.admitted(service)
            for service in services
            if service.allowed and service.allowed != before.get(service.listener)
            for target in service.targets
        }
        conntrack.forget_flows(
            flow
            for flow in conntrack.flows(admitted.keys())
            if not any(ipaddress.ip_address(flow.original.source) in each for each in admitted[flow.mark])
        )

    def _load(self, text: str) -> None:
        try:
            status, said = program.run("nft", "-f", "-", text=text)
        except Failed:
            self._made, self._levels = None, ""  # it may have been loaded, or not
            raise
        if status:
            raise Refused(f"nft: {said.strip()[:1000]}")

    def counters(self, arguments: object) -> dict[str, list[int]]:
        """Name -> packets and bytes of each counter; ``mark NUMBER`` -> flows at the moment.

        ``{"reset": true}``: have the counters begin again at zero.
        """
        if not self._made:
            return {}
        verb = "reset" if isinstance(arguments, dict) and arguments.get("reset") is True else "list"
        status, said = program.run("nft", "-j", verb, "counters", "table", *datagrams.TABLE.split())
        if status:
            raise Refused(f"nft: {said.strip()[:1000]}")
        listed = [item["counter"] for item in json.loads(said)["nftables"] if "counter" in item]
        found = {item["name"]: [item["packets"], item["bytes"]] for item in listed}
        return found | {f"mark {mark}": [flows, 0] for mark, flows in _flows().items()}


def _flows() -> Mapping[int, int]:
    """Mark -> how many there are; nothing when they are too many to be counted."""
    return conntrack.count() if conntrack.tracked() < _MANY_FLOWS else datagrams.NONE


def _serving(services: Iterable[Service], down: Mapping[str, Collection[str]]) -> Mapping[int, Endpoint]:
    """Mark -> where it is, of each target that flows may go to."""
    marks = datagrams.marks(services)
    return {
        marks[service.listener, target.name]: (target.address, target.port)
        for service in services
        for target in service.targets
        if target.enabled and target.name not in down.get(service.listener, ())
    }


def _dead(services: Iterable[Service], down: Mapping[str, Collection[str]]) -> AbstractSet[int]:
    return {
        mark for (listener, name), mark in datagrams.marks(services).items() if name in down.get(listener, ())
    }


def _down(value: object) -> Mapping[str, Collection[str]]:
    if not isinstance(value, dict) or not all(isinstance(names, list) for names in value.values()):
        raise Malformed("datagrams: down is no object of lists")
    return {str(listener): frozenset(map(str, names)) for listener, names in value.items()}


def _answer(way: conntrack.Way) -> datagrams.Answer:
    family = socket.AF_INET if len(way.source) == _IPV4_BYTES else socket.AF_INET6
    source, destination = (socket.inet_ntop(family, packed) for packed in (way.source, way.destination))
    return source, int.from_bytes(way.source_port), destination, int.from_bytes(way.destination_port)
