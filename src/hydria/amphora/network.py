"""The part of a desired state that the root part makes true: interfaces and nftables."""

from __future__ import annotations

from hydria.amphora.faults import Failed, Refused
from hydria.amphora.log import log
from hydria.amphora.root_part import RootPart
from hydria.wire.state import DesiredState, Interface


class Network:
    """Asks the root part for what differs between two states."""

    def __init__(self, root: RootPart) -> None:
        self._root = root
        self._announced: object = []

    @staticmethod
    def differs(old: DesiredState, new: DesiredState) -> bool:
        """Whether there is anything to do."""
        return old.interfaces != new.interfaces or old.nftables != new.nftables

    def check(self, old: DesiredState, new: DesiredState) -> None:
        """Have nft read the new ruleset without loading it; Refused says what is wrong with it."""
        if new.nftables and old.nftables != new.nftables:
            self._root.ask("nftables", {"ruleset": new.nftables, "check": True})

    def switch(self, old: DesiredState, new: DesiredState) -> None:
        """Go from one state to the other; Refused and Failed may leave some of it done."""
        if old.interfaces != new.interfaces:
            self._interfaces(_with_leaving(old.interfaces, new.interfaces))
        if old.nftables != new.nftables:
            self._root.ask("nftables", {"ruleset": new.nftables})

    def restore(self, state: DesiredState) -> None:
        """Make all of a state true, whatever is there."""
        self._interfaces(state.interfaces)
        self._root.ask("nftables", {"ruleset": state.nftables})

    def announce_again(self) -> None:
        """Repeat the last announcement, once."""
        announced, self._announced = self._announced, []
        self._announce(announced)

    def _interfaces(self, interfaces: tuple[Interface, ...]) -> None:
        if interfaces:
            added = self._root.ask("interfaces", interfaces)
            self._announced = added
            self._announce(added)

    def _announce(self, added: object) -> None:
        try:
            if added:
                self._root.ask("announce", added)
        except (Refused, Failed) as refusal:
            log("agent", f"could not announce {added}: {refusal}")


def _with_leaving(old: tuple[Interface, ...], new: tuple[Interface, ...]) -> tuple[Interface, ...]:
    """The new interfaces, and those that are no longer ours without any address."""
    kept = {interface.mac for interface in new}
    gone = (Interface(interface.mac, interface.mtu, ()) for interface in old if interface.mac not in kept)
    return (*new, *gone)
