"""Root part: datagram services made true, and counted."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from hydria.amphora import conntrack, datagrams, kernel, program
from hydria.amphora.faults import Malformed, Refused
from hydria.amphora.payload import decode_services

_MANY_FLOWS = 20_000  # from here on they are not counted one by one
_TRACKED = "netfilter/nf_conntrack_count"


class Forwarding:
    """Knows what it has told the packet filter. ``closed``: the interface that nothing is forwarded to."""

    def __init__(self, closed: str) -> None:
        self._closed = closed
        self._made: list[str] | None = None  # nothing is known of what an earlier life has left
        self._serving: set[int] = set()

    def apply(self, arguments: object) -> None:
        """``{"services": […], "down": {listener: [target]}}``: serve these, and no flow to who does not."""
        if not isinstance(arguments, dict):
            raise Malformed("datagrams: expected an object")
        services, down = decode_services(arguments.get("services")), _down(arguments.get("down"))
        if not services and not self._made:
            return
        script = datagrams.script(services, down, self._closed)
        status, said = program.run("nft", "-f", "-", text=script.text(self._made))
        if status:
            raise Refused(f"nft: {said.strip()[:1000]}")
        self._made = script.made
        kernel.forward(on=bool(services))
        marks = datagrams.marks(services)
        serving = {
            marks[service.listener, target.name]
            for service in services
            for target in service.targets
            if target.enabled and target.name not in down.get(service.listener, ())
        }
        conntrack.forget(self._serving - serving)
        self._serving = serving

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
        if kernel.read_network(_TRACKED) < _MANY_FLOWS:
            found |= {f"mark {mark}": [flows, 0] for mark, flows in conntrack.count().items()}
        return found


def _down(value: object) -> Mapping[str, Collection[str]]:
    if not isinstance(value, dict) or not all(isinstance(names, list) for names in value.values()):
        raise Malformed("datagrams: down is no object of lists")
    return {str(listener): frozenset(map(str, names)) for listener, names in value.items()}
