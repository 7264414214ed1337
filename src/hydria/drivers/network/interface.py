"""What Hydria asks of a network service."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Subnet:
    """An address range of a network. cidr: ``10.0.0.0/24``. gateway: "" for none.

    pool: first and last address that ports are given; () when nobody says.
    """

    id: str
    network_id: str
    name: str
    cidr: str
    gateway: str = ""
    pool: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.cidr else 4

    @property
    def prefix_length(self) -> str:
        """The part of the CIDR after the slash."""
        return self.cidr.partition("/")[2]

    def holds(self, address: str) -> bool:
        """Whether a port can have this address here."""
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.cidr)


@dataclass(frozen=True, slots=True)
class Network:
    """A layer 2 network. mtu: bytes. port_security: whether it keeps ports to their own addresses."""

    id: str
    name: str
    subnet_ids: tuple[str, ...]
    mtu: int = 1500
    port_security: bool = True

    def has(self, subnet_id: str) -> bool:
        """Whether the subnet is one of its own."""
        return subnet_id in self.subnet_ids


@dataclass(frozen=True, slots=True)
class FixedAddress:
    """One address of a port."""

    subnet_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Port:
    """A place on a network.

    owner: what the port was made for (``lb-<id>``, ``amphora-<id>``), so that orphans can be found.
    binding: what the compute driver needs to attach it; its meaning is theirs (netns: the bridge's name).
    qos_policy_id: the one that it has; "" for none.
    """

    id: str
    network_id: str
    name: str
    owner: str
    mac: str
    addresses: tuple[FixedAddress, ...]
    binding: str = ""
    device_id: str = ""
    qos_policy_id: str = ""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who may not see all that the service has. token: what the service knows them by."""

    project_id: str
    token: str = field(default="", repr=False)


class NetworkDriver(Protocol):
    """A network service.

    Looking up may be called by any program, at any time, and answers within seconds:
    ``subnet``, ``network``, ``port``, ``security_group``, ``qos_policy`` raise NotFound. A service without
    security groups, or without QoS, knows none of them.

    ``plug_vip`` and ``unplug_vip`` decide which amphora has the VIP. The amphora itself is not asked, so a
    dead one can be fenced whose instance cannot be deleted.

    Making and removing are idempotent: ``create_port`` with a name that exists returns that port,
    ``delete_port`` of a port that is gone does nothing. They raise Conflict when an address is taken,
    Unavailable when none is left or the service does not answer.

    ``prepare`` is called by every program that makes ports, before anything else, and may be called again;
    ``cleanup`` takes away everything the driver ever made on this host.
    """

    def prepare(self) -> None:
        """Make sure that the networks are there."""

    def cleanup(self) -> None:
        """Remove all ports and what ``prepare`` made."""

    @property
    def lb_network_id(self) -> str:
        """The network over which controllers and amphorae talk."""

    @property
    def default_vip_subnet_id(self) -> str | None:
        """The subnet of VIPs whose request named no source; None when a source is mandatory."""

    @property
    def sriov(self) -> bool:
        """Whether ports can be virtual functions of network cards (VNIC type ``direct``)."""

    def networks(self) -> Iterable[Network]:
        """All networks that tenants can use."""

    def network(self, network_id: str) -> Network:
        """Look up a network."""

    def subnet(self, subnet_id: str) -> Subnet:
        """Look up a subnet."""

    def port(self, port_id: str) -> Port:
        """Look up a port."""

    def security_group(self, group_id: str) -> str:
        """Look up a security group; its id."""

    @property
    def qos_enabled(self) -> bool:
        """Whether the service has QoS policies at all."""

    def qos_policy(self, policy_id: str) -> str:
        """Look up a QoS policy; its id."""

    def free_addresses(self, subnet_id: str) -> int | None:
        """How many more addresses a subnet can give; None when nobody counts. Raises NotFound."""

    def seen_by(self, viewer: Viewer) -> NetworkDriver:
        """The same service, in which what the viewer may not see is not found; for looking up alone."""

    def guard_port(self, port_id: str, *, security_group_ids: Iterable[str], qos_policy_id: str) -> None:
        """Give a port exactly these security groups and this policy ("" for none); idempotent.

        Raises NotFound for what there is no such thing of.
        """

    def create_port(
        self, network_id: str, *, name: str, owner: str, addresses: Iterable[FixedAddress] = ()
    ) -> Port:
        """Make a port; the service chooses what is "", and one address of every subnet when none is given."""

    def delete_port(self, port_id: str) -> None:
        """Remove a port; its addresses are free again."""

    def ports(self, owner: str = "") -> Iterable[Port]:
        """The ports that Hydria made for an owner; every one for "", which is the search for orphans."""

    def plug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Let an amphora's port send from the VIP's addresses besides its own; idempotent.

        Raises NotFound for an unknown port.
        """

    def unplug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Cut an amphora's port off from these addresses, whatever its amphora does; idempotent.

        Afterwards nothing that is behind it answers for them. Nothing happens when the port is gone.
        """

    def closed_to_members(self) -> Iterable[str]:
        """Networks of the deployment itself, its hosts' addresses among them, that no member may be in."""

    def keep(self) -> None:
        """Make again what others on this host have changed; a worker calls it every second or so."""

    def controller_address(self) -> str:
        """The controllers' own address on the LB network, to bind heartbeats to."""
