"""The embedded network driver: two Linux bridges on this host, and addresses from its own pools.

``lb`` is between controllers and amphorae; ``vip`` carries VIPs and the amphorae's way to members, through
this host. Whatever is made on the host carries the deployment's instance id in its name.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from hydria.drivers import host, state_dir
from hydria.drivers.netlink import Link, Netlink
from hydria.drivers.network import addressing, firewall, forwarding, guards
from hydria.drivers.network.addressing import Segment
from hydria.drivers.network.interface import FixedAddress, Network, NetworkDriver, Port, Subnet, Viewer
from hydria.drivers.network.ports import PortRegistry
from hydria.model.errors import DriverError, Invalid, NotFound
from hydria.settings import Settings

_log = logging.getLogger(__name__)
_HOST_NETWORK = Path("/proc/self/ns/net")  # its lock is one per host network, whatever the deployment
_LONGEST_ALIAS = 255  # bytes
_RULES = "rules.json"  # the tables as the kernel lists them
_LOOK_SECONDS = 30.0
_CLOSED_SECONDS = 5.0  # the packet filter knows at once, so requests need not


class BridgeNetworkDriver:
    """Networks on this host. Making and removing ports needs no root; making the bridges does."""

    def __init__(self, settings: Settings) -> None:
        self._options = settings.bridge
        self._health_manager = settings.health_manager
        self._agents = settings.amphora_agent
        self._root = settings.state_dir
        self._registry = PortRegistry(settings.state_dir)
        self._netlink = Netlink()
        self._seen: object = None  # the host's forwarding, at a glance
        self._listed: list[str] | None = None  # the rules as the kernel has them
        self._look_at = 0.0
        self._closed: tuple[str, ...] = ()
        self._closed_until = 0.0

    def prepare(self) -> None:
        """Make bridges, addresses, forwarding and the nftables table, as far as they are missing.

        Raises Invalid, before anything is made, when a CIDR overlaps with what the host has; DriverError when
        something is missing and this program is not root.
        """
        missing = list(self._missing())
        if os.geteuid() == 0:
            with state_dir.exclusive(_HOST_NETWORK):
                self._check_addresses()
                self._make_rules()
                for segment in self._segments:
                    self._make_bridge(segment)
                self._forward()
            for obstacle in firewall.obstacles(self._vip):
                _log.warning("%s", obstacle)
        elif missing:
            raise DriverError(
                f"Not made yet: {', '.join(missing)}. That needs root: first start a program of this"
                " deployment as root (the worker, or hydria all)."
            )
        self._registry.prepare()

    def keep(self) -> None:
        """Make it again when somebody has changed it: new interfaces, a switch, rules that were flushed.

        Costs next to nothing while nothing of that is new; the rules are looked at now and then.
        """
        if os.geteuid() != 0 or self._listed is None or self._netlink.link(self._vip.bridge) is None:
            return
        now = time.monotonic()
        changed = forwarding.glance(self._vip.bridge) != self._seen
        if not changed and now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        table = firewall.PREFIX + self._instance
        with state_dir.exclusive(_HOST_NETWORK):
            if not changed and _listed(table) == self._listed:
                return
            if not changed:
                _log.warning("Somebody has changed the packet filter's table %s; it is made again.", table)
            self._make_rules()
            self._forward()

    def weaknesses(self) -> Iterable[str]:
        """What of the networks' protection is not there, as sentences; nothing while there are none."""
        if self._netlink.link(self._lb.bridge) is None:
            return
        for link in self._unguarded_ports():
            yield f"The port {link.name} of the LB network is not isolated: amphorae hear each other."
        if os.geteuid() != 0:
            return  # nft shows its rules to root alone
        table = firewall.PREFIX + self._instance
        if _listed(table) != state_dir.read_json(self._root / "network" / _RULES):
            yield f"The tables {table} of the packet filter are not as they were made: start a worker again."
        yield from guards.weaknesses(table, self._root, self._amphora_ports())
        if forwarding.of(self._lb.bridge):
            yield f"The host forwards what comes from {self._lb.bridge}; its packet filter drops it still."

    def _amphora_ports(self) -> set[str]:
        """The names of all ports of the two bridges that are an amphora's."""
        bridges = {
            link.index for name in addressing.bridges(self._instance) if (link := self._netlink.link(name))
        }
        known = {addressing.link_name(port.id) for port in self.ports()}
        return {link.name for link in self._netlink.links() if link.bridge in bridges and link.name in known}

    def cleanup(self) -> None:
        """Remove all of it, and set the host's forwarding as it was, unless other deployments need it."""
        instance = state_dir.existing_instance_id(self._root)
        if instance is None:
            return
        kept = self._root / "network" / "host.json"
        names = addressing.bridges(instance)
        if os.geteuid() != 0 and any(self._netlink.link(name) for name in names):
            raise DriverError(f"Removing the bridges {' and '.join(names)} needs root.")
        if os.geteuid() == 0:
            dismantle(instance, self._netlink, kept)
        if kept.parent.exists():
            with state_dir.as_owner(self._root):
                shutil.rmtree(kept.parent)

    @property
    def lb_network_id(self) -> str:
        """The LB network."""
        return self._lb.network.id

    @property
    def default_vip_subnet_id(self) -> str | None:
        """The IPv4 subnet of VIPs, or the IPv6 one where there is no other."""
        return self._vip.ranges[0].subnet.id

    @property
    def sriov(self) -> bool:
        """Ports are veth pairs."""
        return False

    def networks(self) -> Iterable[Network]:
        """The VIP network; the other one is not the tenants'."""
        return [self._vip.network]

    def network(self, network_id: str) -> Network:
        """Look up a network."""
        return self._segment(network_id).network

    def subnet(self, subnet_id: str) -> Subnet:
        """Look up a subnet."""
        for segment in self._segments:
            found = segment.range_of(subnet_id)
            if found is not None:
                return found.subnet
        raise NotFound("Subnet", subnet_id)

    def security_group(self, group_id: str) -> str:
        """There are none: amphorae admit what their listeners say."""
        raise NotFound("Security Group", group_id)

    @property
    def qos_enabled(self) -> bool:
        """There are no policies."""
        return False

    def qos_policy(self, policy_id: str) -> str:
        """There are none."""
        raise NotFound("qos_policy", policy_id)

    def free_addresses(self, subnet_id: str) -> int | None:
        """Those that no port has."""
        for segment in self._segments:
            found = segment.range_of(subnet_id)
            if found is not None:
                taken = sum(each.subnet_id == subnet_id for port in self.ports() for each in port.addresses)
                return max(0, found.size - taken)
        raise NotFound("Subnet", subnet_id)

    def seen_by(self, viewer: Viewer) -> NetworkDriver:  # noqa: ARG002  (all of them see the same)
        """Tenants see the VIP network alone; ids of the other one follow from those of this one."""
        view = copy.copy(self)
        view._segments = (self._vip,)  # noqa: SLF001  (it is one of us)
        return view

    def guard_port(self, port_id: str, *, security_group_ids: Iterable[str], qos_policy_id: str) -> None:
        """Nothing, for there is nothing to guard a port with."""
        self.port(port_id)
        for group_id in security_group_ids:
            self.security_group(group_id)
        if qos_policy_id:
            self.qos_policy(qos_policy_id)

    def port(self, port_id: str) -> Port:
        """Look up a port."""
        found = self._registry.get(port_id)
        if found is None:
            raise NotFound("Port", port_id)
        return found

    def create_port(
        self, network_id: str, *, name: str, owner: str, addresses: Iterable[FixedAddress] = ()
    ) -> Port:
        """Make a port; its id follows from its name."""
        segment = self._segment(network_id)
        wanted = tuple(addresses) or tuple(FixedAddress(each, "") for each in segment.network.subnet_ids)
        identifier = addressing.port_id(self._instance, name) if name else str(uuid.uuid4())
        return self._registry.create(identifier, segment, name=name, owner=owner, addresses=wanted)

    def delete_port(self, port_id: str) -> None:
        """Remove a port."""
        self._registry.delete(port_id)

    def ports(self, owner: str = "") -> Iterable[Port]:
        """Every port, or an owner's; frees addresses that killed programs have left claimed."""
        return [port for port in self._registry.all() if owner in ("", port.owner)]

    def plug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Have the packet filter let these addresses through, besides the port's own."""
        link = addressing.link_name(self.port(port_id).id)
        guards.allow(firewall.PREFIX + self._instance, self._root, link, addresses)

    def unplug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        """Have the packet filter drop what the port sends from these addresses."""
        link = addressing.link_name(port_id)
        if not guards.deny(firewall.PREFIX + self._instance, self._root, link, addresses):
            # The amphora is of an earlier version, whose port nothing holds to its addresses.
            self._netlink.delete(link)

    def closed_to_members(self) -> Iterable[str]:
        """The LB network, and this host's addresses but those that are there for members."""
        now = time.monotonic()
        if now > self._closed_until:
            opened = {str(found.host.ip) for found in self._vip.ranges}
            opened.update(str(ipaddress.ip_address(each)) for each in self._options.member_host_addresses)
            own = {str(found.address.ip) for found in self._netlink.addresses() if found.address}
            self._closed = (*(str(found.network) for found in self._lb.ranges), *sorted(own - opened))
            self._closed_until = now + _CLOSED_SECONDS
        return self._closed

    def controller_address(self) -> str:
        """The host's address on the LB network."""
        return str(self._lb.ranges[0].host.ip)

    @cached_property
    def _instance(self) -> str:
        return state_dir.instance_id(self._root)

    @cached_property
    def _lb(self) -> Segment:
        cidrs = [("lb_network_cidr", self._options.lb_network_cidr)]
        return addressing.segment(self._instance, "lb", cidrs, mtu=self._options.mtu, gateway=False)

    @cached_property
    def _vip(self) -> Segment:
        cidrs = [("vip_cidr_v4", self._options.vip_cidr_v4)]
        if host.has_ipv6():
            cidrs.append(("vip_cidr_v6", self._options.vip_cidr_v6))
        return addressing.segment(self._instance, "vip", cidrs, mtu=self._options.mtu, gateway=True)

    @cached_property
    def _segments(self) -> tuple[Segment, ...]:
        return self._lb, self._vip

    def _segment(self, network_id: str) -> Segment:
        for segment in self._segments:
            if segment.network.id == network_id:
                return segment
        raise NotFound("Network", network_id)

    def _missing(self) -> Iterable[str]:
        """What of the networks is not there, as far as a program without rights can see."""
        there = {(found.interface, found.address) for found in self._netlink.addresses()}
        for segment in self._segments:
            link = self._netlink.link(segment.bridge)
            if link is None or not link.up:
                yield f"the bridge {segment.bridge}"
            for found in segment.ranges:
                if (segment.bridge, found.host) not in there:
                    yield f"the address {found.host} on {segment.bridge}"
        if self._netlink.link(self._vip.bridge) and not forwarding.is_on(self._vip.bridge):
            yield f"forwarding of {self._vip.bridge}"

    def _check_addresses(self) -> None:
        """Refuse CIDRs that the host uses otherwise, and bridges made for other CIDRs than today's."""
        known = [*self._netlink.addresses(), *self._netlink.routes()]
        own = {segment.bridge for segment in self._segments}
        addressing.check(self._segments, [found for found in known if found.interface not in own])
        for segment in self._segments:
            configured = [found.host for found in segment.ranges]
            for found in known:
                address = found.address
                if found.interface != segment.bridge or address is None or address.ip.is_link_local:
                    continue
                if address not in configured:
                    raise Invalid(
                        f"The bridge {segment.bridge} was made with {address}, but [bridge] says"
                        f" {', '.join(str(each) for each in configured)}: set it back, or run hydria"
                        " cleanup first."
                    )

    def _make_bridge(self, segment: Segment) -> None:
        # Whoever finds the bridge finds the state directory (:mod:`hydria.drivers.instances`).
        directory = str(self._root.absolute())
        alias = directory if len(os.fsencode(directory)) <= _LONGEST_ALIAS else ""
        mtu = segment.network.mtu
        link = self._netlink.make_bridge(segment.bridge, mac=segment.mac, mtu=mtu, alias=alias)
        for found in segment.ranges:
            self._netlink.add_address(link, found.host)

    def _make_rules(self) -> None:
        """Note how the host was, then make the tables; forwarding comes after: in an order to die in."""
        table = firewall.PREFIX + self._instance
        kept = self._root / "network" / "host.json"
        others = firewall.deployments()
        mine = others.pop(table, None)
        before = forwarding.unpack(mine or next(iter(others.values()), "")) or forwarding.read()
        state_dir.make_directory(kept.parent, self._root)
        with state_dir.as_owner(self._root):
            forwarding.remember(kept, before)
        before = forwarding.recall(kept) or before
        this = firewall.Host(
            before=forwarding.pack(before),
            routers=forwarding.routers(before),
            interfaces=forwarding.interfaces(),
            users=(0, self._root.stat().st_uid),
            members=self._options.member_host_addresses,
        )
        rules = firewall.ruleset(
            table,
            self._lb,
            self._vip,
            this,
            masquerade=self._options.masquerade,
            heartbeat_ports=self._heartbeat_ports(),
            log_targets=(*self._agents.tenant_log_targets, *self._agents.admin_log_targets),
            log_protocol=self._agents.log_protocol,
        )
        firewall.apply(rules)
        firewall.check(table, rules)
        guards.make(table, self._root)
        self._listed = _listed(table)
        state_dir.replace(kept.parent / _RULES, json.dumps(self._listed).encode(), mode=0o644)

    def _forward(self) -> None:
        """Forward between the VIP network and the rest; amphorae reach nobody through the LB network."""
        forwarding.turn_on(self._netlink.advertised(), self._vip.bridge, forwarding.interfaces())
        forwarding.turn_off(self._lb.bridge)
        for link in self._unguarded_ports():
            self._netlink.isolate(link.name)
        self._seen = forwarding.glance(self._vip.bridge)

    def _unguarded_ports(self) -> list[Link]:
        """Ports of the LB bridge that are not isolated: whatever was plugged before, by whom ever."""
        bridge = self._netlink.link(self._lb.bridge)
        return [
            link
            for link in self._netlink.links()
            if bridge and link.bridge == bridge.index and not link.isolated
        ]

    def _heartbeat_ports(self) -> Iterable[int]:
        """The ports of all health managers, this host's and others'."""
        yield self._health_manager.bind_port
        for controller in self._health_manager.controller_ip_port_list:
            port = controller.rpartition(":")[2]
            if port.isascii() and port.isdigit():
                yield int(port)


def dismantle(instance: str, netlink: Netlink, kept: Path | None = None) -> None:
    """Remove an instance's networks from the host. kept: the file with the host's settings from before."""
    with state_dir.exclusive(_HOST_NETWORK):
        for name in addressing.bridges(instance):
            netlink.delete(name)
        table = firewall.PREFIX + instance
        others = firewall.deployments()
        mine = others.pop(table, None)
        before = (forwarding.recall(kept) if kept else None) or forwarding.unpack(mine or "")
        if before and not others:
            forwarding.restore(before)
        if mine is not None:
            firewall.remove(table)
        guards.dismantle(table)


def _listed(table: str) -> list[str]:
    return [firewall.listing(table), firewall.listing(table, "bridge")]
