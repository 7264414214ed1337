"""The ports and addresses of the bridge driver: one file per port, one claim per address.

``ports/<id>.json`` is a port. ``claims/<address>`` is a symbolic link that names the port which holds the
address: making one is atomic, exclusive, and complete at once. Claims come first and go last, so what a
killed program leaves is at worst a claim of a port that is not there. All changes happen under a lock of the
kernel's, which ends with its holder: whoever holds it knows that such a claim is an orphan, and frees it.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from hydria.drivers import state_dir
from hydria.drivers.network.addressing import Range, Segment, mac_of
from hydria.drivers.network.interface import FixedAddress, Port
from hydria.model.errors import Conflict, DriverError, Invalid, Unavailable

_log = logging.getLogger(__name__)


class PortRegistry:
    """Ports of this deployment, shared by all its programs on this host; needs no root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root / "network"
        self._ports = self._directory / "ports"
        self._claims = self._directory / "claims"

    def prepare(self) -> None:
        """Make the directories, and put right what a killed program has left."""
        with self._exclusive():
            self._repair()

    def get(self, port_id: str) -> Port | None:
        """Look up a port."""
        try:
            path = self._ports / f"{uuid.UUID(port_id)}.json"
        except ValueError:
            return None
        return _port(path)

    def all(self) -> list[Port]:
        """Every port there is. Repairs what a killed program has left, if it has."""
        found = self._all()
        if self._claims.is_dir() and not self._consistent(found):
            with self._exclusive():
                self._repair()
        return found

    def create(
        self, port_id: str, segment: Segment, *, name: str, owner: str, addresses: Sequence[FixedAddress]
    ) -> Port:
        """Make the port of that id, or return it.

        Raises Invalid for an address that the subnet cannot give, Conflict for one that another port has,
        Unavailable when a subnet has none left.
        """
        with self._exclusive():
            found = self.get(port_id)
            if found is not None:
                return found
            claimed: list[FixedAddress] = []
            try:
                for wanted in addresses:
                    claimed.append(self._claim(port_id, segment, wanted))
                port = Port(
                    port_id, segment.network.id, name, owner, mac_of(port_id), tuple(claimed), segment.bridge
                )
                state_dir.replace(
                    self._ports / f"{port_id}.json", json.dumps(asdict(port)).encode(), mode=0o644
                )
            except BaseException:
                self._free(port_id, claimed)
                raise
            return port

    def delete(self, port_id: str) -> None:
        """Remove a port, if it is there, and free its addresses."""
        if self.get(port_id) is None:
            return
        with self._exclusive():
            port = self.get(port_id)
            if port is not None:
                (self._ports / f"{port.id}.json").unlink()
                self._free(port.id, port.addresses)

    def _all(self) -> list[Port]:
        ports = (_port(path) for path in sorted(self._ports.glob("*.json")))
        return [port for port in ports if port is not None]

    def _consistent(self, ports: Iterable[Port]) -> bool:
        """Whether each claim is a port's and the other way round; False also while somebody makes one."""
        return {path.name for path in self._claims.iterdir()} == set(_addresses(ports))

    def _claim(self, port_id: str, segment: Segment, wanted: FixedAddress) -> FixedAddress:
        found = segment.range_of(wanted.subnet_id)
        if found is None:
            raise Invalid(f"Subnet {wanted.subnet_id} is not one of network {segment.network.id}.")
        if not wanted.address:
            return FixedAddress(wanted.subnet_id, self._choose(port_id, found))
        address = _checked(wanted.address, found)
        holder = self._take(address, port_id)
        if holder and self.get(holder) is None:
            (self._claims / address).unlink()
            holder = self._take(address, port_id)
        if holder:
            _log.info(
                "The address %s, which port %s was to have, is that of port %s.", address, port_id, holder
            )
            raise Conflict(f"The address {address} is taken.")  # by whom is not for everybody to know
        return FixedAddress(wanted.subnet_id, address)

    def _choose(self, port_id: str, found: Range) -> str:
        """A free address. Each port begins to look at a place of its own, so that few look twice."""
        for address in found.candidates(uuid.UUID(port_id).int):
            if not self._take(address, port_id):
                return address
        self._repair()  # the last resort: perhaps a dead program's claims fill it
        for address in found.candidates(uuid.UUID(port_id).int):
            if not self._take(address, port_id):
                return address
        raise Unavailable(
            f"No address is left in subnet {found.subnet.id} ({found.network}): delete load balancers, or"
            f" enlarge [bridge] {found.option}."
        )

    def _take(self, address: str, port_id: str) -> str:
        """Claim an address; returns "" or the id of the port that holds it."""
        path = self._claims / address
        try:
            path.symlink_to(port_id)
        except FileExistsError:
            return str(path.readlink())
        return ""

    def _free(self, port_id: str, addresses: Iterable[FixedAddress]) -> None:
        for held in addresses:
            path = self._claims / held.address
            if path.is_symlink() and str(path.readlink()) == port_id:
                path.unlink()

    def _repair(self) -> None:
        """Free addresses that no port holds; claim again those whose claim was lost."""
        held = _addresses(self._all())
        for path in list(self._claims.iterdir()):
            if held.pop(path.name, None) is None:
                _log.info("Freed the address %s: port %s is not there.", path.name, path.readlink())
                path.unlink()
        for address, port_id in held.items():
            _log.warning("Claimed the address %s again for port %s.", address, port_id)
            self._take(address, port_id)
        for unfinished in self._ports.glob(".*"):
            unfinished.unlink()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            for path in (self._ports, self._claims):
                state_dir.make_directory(path, self._root)
            with state_dir.exclusive(self._directory), state_dir.as_owner(self._root):
                yield
        except OSError as error:
            raise DriverError(f"Cannot change {self._directory}: {error}.") from error


def _addresses(ports: Iterable[Port]) -> dict[str, str]:
    """Address -> the id of the port that holds it."""
    return {held.address: port.id for port in ports for held in port.addresses}


def _checked(text: str, found: Range) -> str:
    """The address in its canonical form."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise Invalid(f"{text} is not an IP address.") from error
    if address not in found.network:
        raise Invalid(f"The address {address} is not in subnet {found.subnet.id} ({found.network}).")
    if not found.may_be_given(str(address)):
        raise Invalid(
            f"The address {address} cannot be given: it is the network's, the gateway's or the broadcast"
            f" address of subnet {found.subnet.id} ({found.network})."
        )
    return str(address)


def _port(path: Path) -> Port | None:
    fields = state_dir.read_json(path)
    if not isinstance(fields, dict):
        return None
    return Port(**{**fields, "addresses": tuple(FixedAddress(**item) for item in fields["addresses"])})
