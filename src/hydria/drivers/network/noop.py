"""A network service that does nothing: every id exists, every address is free.

What it answers follows from the id alone, so that programs in different processes hear the same. A port that
was made in this process is remembered as it was made. As upstream's, it knows no default source of VIPs.
"""

from __future__ import annotations

import ipaddress
import threading
import uuid
from collections.abc import Iterable

from hydria.drivers.network.addressing import mac_of
from hydria.drivers.network.interface import FixedAddress, Network, Port, Subnet
from hydria.model.errors import NotFound
from hydria.settings import Settings

_NAMESPACE = uuid.UUID("2c1f4b0a-6a54-4f0e-9d0c-8a4c7b1d5e90")
_LB_NETWORK = str(uuid.uuid5(_NAMESPACE, "lb-network"))
# Added (modulo 2) to an id: two ways between the ids of a network, its subnet and a port on it.
_TO_SUBNET = 0x5B
_TO_NETWORK_OF_PORT = 0xA7
_POOL = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544: for tests of devices that are connected to nothing


class NoopNetworkDriver:
    """Remembers ports; touches nothing."""

    def __init__(self, settings: Settings) -> None:  # noqa: ARG002  (every network driver takes them)
        self._guard = threading.Lock()
        self._ports: dict[str, Port] = {}

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def cleanup(self) -> None:
        """Forget all ports."""
        with self._guard:
            self._ports.clear()

    @property
    def lb_network_id(self) -> str:
        """The same one for every program."""
        return _LB_NETWORK

    @property
    def default_vip_subnet_id(self) -> str | None:
        """None: requests name their source."""
        return None

    @property
    def sriov(self) -> bool:
        """Nothing is refused."""
        return True

    def networks(self) -> Iterable[Network]:
        """None that could be listed."""
        return []

    def network(self, network_id: str) -> Network:
        """A network of that id."""
        return Network(network_id, f"noop-{network_id}", (_shift("Network", network_id, _TO_SUBNET),))

    def subnet(self, subnet_id: str) -> Subnet:
        """A subnet of that id, which holds every address."""
        network_id = _shift("Subnet", subnet_id, _TO_SUBNET)
        return Subnet(subnet_id, network_id, f"noop-{subnet_id}", "0.0.0.0/0", str(_POOL[1]))

    def port(self, port_id: str) -> Port:
        """The port of that id, or one as good as any."""
        with self._guard:
            made = self._ports.get(port_id)
        if made is not None:
            return made
        network_id = _shift("Port", port_id, _TO_NETWORK_OF_PORT)
        address = FixedAddress(_shift("Network", network_id, _TO_SUBNET), _address(port_id))
        return Port(port_id, network_id, f"noop-{port_id}", "", mac_of(port_id), (address,))

    def create_port(
        self, network_id: str, *, name: str, owner: str, addresses: Iterable[FixedAddress] = ()
    ) -> Port:
        """Remember a port."""
        port_id = str(uuid.uuid5(_NAMESPACE, name) if name else uuid.uuid4())
        wanted = tuple(addresses) or (FixedAddress(_shift("Network", network_id, _TO_SUBNET), ""),)
        given = tuple(
            FixedAddress(each.subnet_id, _canonical(each.address) or _address(port_id)) for each in wanted
        )
        port = Port(port_id, network_id, name, owner, mac_of(port_id), given)
        with self._guard:
            return self._ports.setdefault(port_id, port)

    def delete_port(self, port_id: str) -> None:
        """Forget a port."""
        with self._guard:
            self._ports.pop(port_id, None)

    def ports(self) -> Iterable[Port]:
        """The ports that were made in this process."""
        with self._guard:
            return list(self._ports.values())

    def controller_address(self) -> str:
        """Loopback: no amphora will send anything."""
        return "127.0.0.1"


def _shift(label: str, identifier: str, by: int) -> str:
    try:
        return str(uuid.UUID(int=uuid.UUID(identifier).int ^ by))
    except ValueError as error:
        raise NotFound(label, identifier) from error


def _address(port_id: str) -> str:
    return str(_POOL[2 + uuid.UUID(port_id).int % (_POOL.num_addresses - 3)])


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address)) if address else ""
