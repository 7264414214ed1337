"""A network service that does nothing: every id exists, every address is free.

What it answers follows from the id alone, so that programs in different processes hear the same. A port that
was made in this process is remembered as it was made. As in upstream's, a network has every subnet that a
request names beside it, a subnet holds addresses of both families, and there is no default source of VIPs.
"""

from __future__ import annotations

import ipaddress
import threading
import uuid
from collections.abc import Iterable

from hydria.drivers.network.addressing import mac_of
from hydria.drivers.network.interface import FixedAddress, Network, NetworkDriver, Port, Subnet, Viewer
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


class _AnyNetwork(Network):
    """Has every subnet that somebody names; ``subnet_ids`` are those of whom nobody names one."""

    __slots__ = ()

    def has(self, subnet_id: str) -> bool:  # noqa: ARG002  (there is none that it has not)
        return True


class _AnySubnet(Subnet):
    """Holds every address; ``cidr`` tells the family of those that it gives by itself."""

    __slots__ = ()

    def holds(self, address: str) -> bool:  # noqa: ARG002  (there is none that it lacks)
        return True


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
        return _AnyNetwork(network_id, f"noop-{network_id}", _subnet_ids(network_id))

    def subnet(self, subnet_id: str) -> Subnet:
        """A subnet of that id, on a network that nobody has to name."""
        network_id = _shift(subnet_id, _TO_SUBNET)
        cidr, gateway = "0.0.0.0/0", str(_POOL[1])
        if _is_second(subnet_id):
            network_id, cidr, gateway = _with_version(network_id, _RANDOM), "::/0", str(_POOL6[1])
        return _AnySubnet(subnet_id, network_id, f"noop-{subnet_id}", cidr, gateway)

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
        network_id = _shift(port_id, _TO_NETWORK_OF_PORT)
        address = FixedAddress(_shift(network_id, _TO_SUBNET), _address(port_id))
        return Port(port_id, network_id, f"noop-{port_id}", "", mac_of(str(_uuid(port_id))), (address,))

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

    def ports(self, owner: str = "") -> Iterable[Port]:
        """The ports that were made in this process."""
        with self._guard:
            return [port for port in self._ports.values() if owner in ("", port.owner)]

    def plug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """There is nothing to plug."""

    def unplug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """There is nothing to cut off."""

    def closed_to_members(self) -> Iterable[str]:
        """None: there is nothing to get to."""
        return []

    def keep(self) -> None:
        """Nothing that could change."""

    def controller_address(self) -> str:
        """Loopback: no amphora will send anything."""
        return "127.0.0.1"


def _shift(identifier: str, by: int) -> str:
    return str(uuid.UUID(int=_uuid(identifier).int ^ by))


def _uuid(identifier: str) -> uuid.UUID:
    """An id as a UUID, which what profiles name by hand need not be."""
    try:
        return uuid.UUID(identifier)
    except ValueError:
        return uuid.uuid5(_NAMESPACE, identifier)


def _subnet_ids(network_id: str) -> tuple[str, ...]:
    """An IPv4 subnet, and an IPv6 one where there is an id for it."""
    first = _shift(network_id, _TO_SUBNET)
    return (first, _with_version(first, _SECOND)) if first[_VERSION] == _RANDOM else (first,)


def _is_second(subnet_id: str) -> bool:
    return subnet_id[_VERSION] == _SECOND


def _with_version(identifier: str, version: str) -> str:
    return identifier[: _VERSION.start] + version + identifier[_VERSION.stop :]


def _address(port_id: str, subnet_id: str = "") -> str:
    if _is_second(subnet_id):
        return str(_POOL6[2 + _uuid(port_id).int % 2**64])
    return str(_POOL[2 + _uuid(port_id).int % (_POOL.num_addresses - 3)])


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address)) if address else ""
