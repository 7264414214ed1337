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
from hydria.drivers.network.interface import FixedAddress, Network, NetworkDriver, Port, Subnet, Viewer
from hydria.model.errors import NotFound
from hydria.settings import Settings

_NAMESPACE = uuid.UUID("2c1f4b0a-6a54-4f0e-9d0c-8a4c7b1d5e90")
_LB_NETWORK = str(uuid.uuid5(_NAMESPACE, "lb-network"))
# Added (modulo 2) to an id: two ways between the ids of a network, its subnet and a port on it.
_TO_SUBNET = 0x5B
_TO_NETWORK_OF_PORT = 0xA7
# Ids are random mostly, which is version 4. Their networks have a second subnet, whose id says version 8.
_VERSION = slice(14, 15)
_RANDOM, _SECOND = "4", "8"
_POOL6 = ipaddress.ip_network("2001:db8::/32")
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
        return Network(network_id, f"noop-{network_id}", _subnet_ids(network_id))

    def subnet(self, subnet_id: str) -> Subnet:
        """A subnet of that id, which holds every address of its family."""
        network_id = _shift("Subnet", subnet_id, _TO_SUBNET)
        cidr, gateway = "0.0.0.0/0", str(_POOL[1])
        if _is_second(subnet_id):
            network_id, cidr, gateway = _with_version(network_id, _RANDOM), "::/0", str(_POOL6[1])
        return Subnet(subnet_id, network_id, f"noop-{subnet_id}", cidr, gateway)

    def security_group(self, group_id: str) -> str:
        """There is one of every id."""
        return group_id

    @property
    def qos_enabled(self) -> bool:
        """Nothing is refused."""
        return True

    def qos_policy(self, policy_id: str) -> str:
        """There is one of every id."""
        return policy_id

    def free_addresses(self, subnet_id: str) -> int | None:
        """Nobody counts."""
        self.subnet(subnet_id)
        return None

    def seen_by(self, viewer: Viewer) -> NetworkDriver:  # noqa: ARG002  (as every one)
        """Everybody sees everything."""
        return self

    def guard_port(self, port_id: str, *, security_group_ids: Iterable[str], qos_policy_id: str) -> None:
        """There is nothing to guard."""

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
        wanted = tuple(addresses) or tuple(FixedAddress(each, "") for each in _subnet_ids(network_id))
        given = tuple(
            FixedAddress(each.subnet_id, _canonical(each.address) or _address(port_id, each.subnet_id))
            for each in wanted
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


def _subnet_ids(network_id: str) -> tuple[str, ...]:
    """An IPv4 subnet, and an IPv6 one where there is an id for it."""
    first = _shift("Network", network_id, _TO_SUBNET)
    return (first, _with_version(first, _SECOND)) if first[_VERSION] == _RANDOM else (first,)


def _is_second(subnet_id: str) -> bool:
    return subnet_id[_VERSION] == _SECOND


def _with_version(identifier: str, version: str) -> str:
    return identifier[: _VERSION.start] + version + identifier[_VERSION.stop :]


def _address(port_id: str, subnet_id: str = "") -> str:
    if _is_second(subnet_id):
        return str(_POOL6[2 + uuid.UUID(port_id).int % 2**64])
    return str(_POOL[2 + uuid.UUID(port_id).int % (_POOL.num_addresses - 3)])


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address)) if address else ""
