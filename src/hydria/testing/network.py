"""A network service in memory, to try requests against: any networks, any ports."""

from __future__ import annotations

import copy
import ipaddress
import threading
import uuid
from collections.abc import Iterable
from typing import TypeVar

from hydria.drivers.network.interface import FixedAddress, Network, NetworkDriver, Port, Subnet, Viewer
from hydria.model.errors import Conflict, NotFound, Unavailable

T = TypeVar("T")


class FakeNetwork:
    """A network driver. ``default_vip_subnet_id``: set it for the embedded shape; ``sriov``: for SR-IOV.

    security_groups, qos_policies: the ids there are; no QoS at all without policies. plugged: port id ->
    the VIP's addresses that it may have. guarded: port id -> the
    groups and the policy that it was given. private: id -> the project that alone may see it.
    """

    lb_network_id = "11111111-0000-4000-8000-000000000001"

    def __init__(self) -> None:
        self.default_vip_subnet_id: str | None = None
        self._guard = threading.Lock()
        self.sriov = False
        self.security_groups: set[str] = set()
        self.qos_policies: set[str] = set()
        self.plugged: dict[str, frozenset[str]] = {}
        self.guarded: dict[str, tuple[tuple[str, ...], str]] = {}
        self.private: dict[str, str] = {}
        self._viewer: Viewer | None = None
        self._networks: dict[str, Network] = {}
        self._subnets: dict[str, Subnet] = {}
        self._ports: dict[str, Port] = {}

    def add_network(self, *cidrs: str, port_security: bool = True) -> Network:
        """Make a network with these subnets."""
        identifier = str(uuid.uuid4())
        subnets = [Subnet(str(uuid.uuid4()), identifier, cidr, cidr) for cidr in cidrs]
        self._subnets |= {subnet.id: subnet for subnet in subnets}
        self._networks[identifier] = Network(
            identifier, identifier, tuple(subnet.id for subnet in subnets), port_security=port_security
        )
        return self._networks[identifier]

    def add_port(
        self,
        network: Network,
        *addresses: tuple[str, str],
        owner: str = "",
        device_id: str = "",
        qos_policy_id: str = "",
    ) -> Port:
        """Make a port as a user would: (subnet id, address) each."""
        fixed = tuple(FixedAddress(*each) for each in addresses)
        port = Port(
            str(uuid.uuid4()),
            network.id,
            "",
            owner,
            "02:00:00:00:00:01",
            fixed,
            device_id=device_id,
            qos_policy_id=qos_policy_id,
        )
        self._ports[port.id] = port
        return port

    def prepare(self) -> None:
        """There is nothing to make."""

    def cleanup(self) -> None:
        """Forget all ports."""
        self._ports.clear()

    def networks(self) -> Iterable[Network]:
        """All networks."""
        return list(self._networks.values())

    def network(self, network_id: str) -> Network:
        """Look up a network."""
        return self._visible("Network", self._networks, network_id)

    def subnet(self, subnet_id: str) -> Subnet:
        """Look up a subnet."""
        return self._visible("Subnet", self._subnets, subnet_id)

    def port(self, port_id: str) -> Port:
        """Look up a port."""
        return self._visible("Port", self._ports, port_id)

    def security_group(self, group_id: str) -> str:
        """Look up a security group."""
        return self._visible("Security Group", {each: each for each in self.security_groups}, group_id)

    @property
    def qos_enabled(self) -> bool:
        """Whether there are policies."""
        return bool(self.qos_policies)

    def qos_policy(self, policy_id: str) -> str:
        """Look up a policy."""
        return self._visible("qos_policy", {each: each for each in self.qos_policies}, policy_id)

    def free_addresses(self, subnet_id: str) -> int | None:
        """Those that no port has."""
        taken = sum(each.subnet_id == subnet_id for port in self.ports() for each in port.addresses)
        return ipaddress.ip_network(self.subnet(subnet_id).cidr).num_addresses - 2 - taken

    def seen_by(self, viewer: Viewer) -> NetworkDriver:
        """The same networks, without those that are private to others."""
        view = copy.copy(self)
        view._viewer = viewer  # noqa: SLF001  (it is one of us)
        return view

    def guard_port(self, port_id: str, *, security_group_ids: Iterable[str], qos_policy_id: str) -> None:
        """Remember what guards a port."""
        self.port(port_id)
        self.guarded[port_id] = (tuple(map(self.security_group, security_group_ids)), qos_policy_id)

    def create_port(
        self, network_id: str, *, name: str, owner: str, addresses: Iterable[FixedAddress] = ()
    ) -> Port:
        """Make a port, or return the one of that name."""
        wanted = list(addresses) or [FixedAddress(each, "") for each in self.network(network_id).subnet_ids]
        with self._guard:
            for port in self._ports.values():
                if name and port.name == name:
                    return port
            fixed = tuple(FixedAddress(each.subnet_id, self._claim(each)) for each in wanted)
            port = Port(str(uuid.uuid4()), network_id, name, owner, "02:00:00:00:00:02", fixed)
            self._ports[port.id] = port
            return port

    def delete_port(self, port_id: str) -> None:
        """Remove a port, if it is there."""
        with self._guard:
            self._ports.pop(port_id, None)

    def ports(self, owner: str = "") -> Iterable[Port]:
        """All ports, or an owner's."""
        with self._guard:
            return [port for port in self._ports.values() if owner in ("", port.owner)]

    def plug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Remember who has the VIP."""
        self.port(port_id)
        self.plugged[port_id] = self.plugged.get(port_id, frozenset()) | frozenset(addresses)

    def unplug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Forget that somebody had the VIP."""
        self.plugged[port_id] = self.plugged.get(port_id, frozenset()) - frozenset(addresses)

    def closed_to_members(self) -> Iterable[str]:
        """None."""
        return []

    def keep(self) -> None:
        """Nothing that could change."""

    def controller_address(self) -> str:
        """Loopback."""
        return "127.0.0.1"

    def _visible(self, label: str, known: dict[str, T], identifier: str) -> T:
        project_id = self.private.get(identifier)
        if self._viewer is not None and project_id not in (None, self._viewer.project_id):
            raise NotFound(label, identifier)
        return _found(label, known, identifier)

    def _claim(self, wanted: FixedAddress) -> str:
        taken = {each.address for port in self._ports.values() for each in port.addresses}
        if wanted.address:
            address = str(ipaddress.ip_address(wanted.address))
            if address in taken:
                raise Conflict(f"The address {address} is taken.")
            return address
        for candidate in ipaddress.ip_network(self.subnet(wanted.subnet_id).cidr).hosts():
            if str(candidate) not in taken:
                return str(candidate)
        raise Unavailable(f"No address is left in subnet {wanted.subnet_id}.")


def _found(label: str, known: dict[str, T], identifier: str) -> T:
    if identifier not in known:
        raise NotFound(label, identifier)
    return known[identifier]
