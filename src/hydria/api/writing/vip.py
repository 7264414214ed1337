"""Where a load balancer's VIP comes from (contract 1.9): looked up first, then claimed.

Looking up asks the network service; claiming makes a port, or has the provider make one. Both happen before
the transaction, and a claim is given back when that fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hydria.api import policy
from hydria.api.call import Call
from hydria.api.writing.requests import foreign
from hydria.drivers.network.interface import FixedAddress, Network, NetworkDriver, Port, Subnet
from hydria.model import kinds
from hydria.model.errors import Conflict, Forbidden, HydriaError, NotFound, validation
from hydria.model.load_balancer import LoadBalancer
from hydria.model.statuses import Topology
from hydria.providers.registry import Provider, VipDict, address_taken
from hydria.settings import NetworkingSettings
from hydria.store import vips

LOG = logging.getLogger(__name__)
T = TypeVar("T")
Values = Mapping[str, Any]

_SOURCES = ("vip_port_id", "vip_network_id", "vip_subnet_id")


@dataclass(frozen=True, slots=True)
class Source:
    """A VIP that can be claimed. ``address``, ``port_id``: None when they are still to be made.

    ``cidrs``: of its subnets, the primary one first. ``qos_policy_id``: the request's, or the port's.
    """

    network_id: str
    subnet_id: str
    address: str | None
    port_id: str | None
    additional: tuple[VipDict, ...] = ()
    cidrs: tuple[str, ...] = ()
    qos_policy_id: str | None = None

    @property
    def expected_addresses(self) -> list[str]:
        """An address per VIP, to judge families by; where it is not known yet, its subnet's own."""
        known = [self.address, *(vip["ip_address"] for vip in self.additional)]
        return [address or cidr.partition("/")[0] for address, cidr in zip(known, self.cidrs, strict=True)]


def resolve(call: Call, values: Values, valid_networks: Collection[str] | None = None) -> Source:
    """Find the source that the request means; Invalid when it names none, or one that cannot be.

    ``valid_networks``: the availability zone's list, in place of the deployment's.
    """
    network, settings = call.network, call.services.settings.networking
    _sources_allowed(settings, values)
    policy_id = values["vip_qos_policy_id"]
    if values["vip_port_id"] is not None:
        port = _visible_port(call, network, str(values["vip_port_id"]))
        fixed, port_id = _of_port(port, values), str(values["vip_port_id"])
        subnet, address = _look_up("Subnet", network.subnet, fixed.subnet_id), fixed.address
        network_id = port.network_id
        policy_id = policy_id or port.qos_policy_id or None
    else:
        subnet, address, port_id = _of_network(network, settings, values), values["vip_address"], None
        network_id = values["vip_network_id"] or subnet.network_id  # whose subnet it is
    check_guards(network, values)
    additional, cidrs = _additional(network, network_id, subnet.id, values["additional_vips"])
    _network_allowed(settings, valid_networks, network_id)
    return Source(
        network_id,
        subnet.id,
        address or None,
        port_id,
        tuple(additional),
        (subnet.cidr, *cidrs),
        policy_id,
    )


def check_guards(network: NetworkDriver, values: Values) -> None:
    """Raise Invalid for a QoS policy or security groups of a request that there are not."""
    if values.get("vip_qos_policy_id") is not None:
        if not network.qos_enabled:
            raise validation("VIP QoS policy is not allowed in this deployment.")
        _look_up("qos_policy", network.qos_policy, values["vip_qos_policy_id"])
    for group_id in values.get("vip_sg_ids") or ():
        _look_up("Security Group", network.security_group, group_id)


def claim(
    network: NetworkDriver,
    provider: Provider,
    load_balancer_id: str,
    project_id: str,
    source: Source,
    values: Values,
) -> dict[str, object]:
    """Get the VIP; its attributes of the load balancer.

    Raises Conflict when the address is taken, Unavailable when none is left.
    """
    wanted: VipDict = {
        "vip_address": source.address,
        "vip_network_id": source.network_id,
        "vip_port_id": source.port_id,
        "vip_subnet_id": source.subnet_id,
        "vip_qos_policy_id": source.qos_policy_id,
        "vip_sg_ids": values["vip_sg_ids"],
    }
    made = provider.create_vip_port(
        load_balancer_id, project_id, dict(wanted), [dict(vip) for vip in source.additional]
    )
    vip, additional = _own_port(network, load_balancer_id, source) if made is None else made
    found = wanted | {key: value for key, value in vip.items() if value is not None}
    return {
        **{key: found[key] for key in ("vip_address", "vip_network_id", "vip_port_id", "vip_subnet_id")},
        "vip_qos_policy_id": source.qos_policy_id,
        "additional_vips": [
            {key: each.get(key) for key in ("subnet_id", "ip_address", "port_id")} for each in additional
        ],
        "vip_port_owned": source.port_id is None and bool(found.get("octavia_owned")),
    }


def release(network: NetworkDriver, vip: Values) -> None:
    """Give back a claim whose load balancer could not be made."""
    if not vip["vip_port_owned"]:
        return
    try:
        network.delete_port(vip["vip_port_id"])
    except HydriaError as error:
        LOG.warning("VIP port %s is left for housekeeping: %s", vip["vip_port_id"], error)


def _sources_allowed(settings: NetworkingSettings, values: Values) -> None:
    for source in _SOURCES:
        if values[source] is not None and not getattr(settings, f"allow_{source}"):
            raise validation(f"use of {source} is disallowed by this deployment's configuration.")


def _visible_port(call: Call, network: NetworkDriver, port_id: str) -> Port:
    """The port, Invalid as for one that there is not when it is Hydria's, and serves another project."""
    port: Port = _look_up("Port", network.port, port_id)
    if port.owner and not _seen(call, port):
        raise foreign("Port", port_id)
    return port


def _seen(call: Call, port: Port) -> bool:
    """Whether the caller may see what the port is of."""
    try:
        project_id = policy.listed_project(call, policy.rule(LoadBalancer, "get_all"), None)
    except Forbidden:
        return False
    if project_id is None:
        return True
    with call.services.store.read() as tx:
        return port.id in vips.owners(tx, project_id)


def _of_port(port: Port, values: Values) -> FixedAddress:
    user = port.device_id or port.owner
    if user:
        raise validation(f"Port {port.id} is already used by device {user} ")
    subnet_id, address = values["vip_subnet_id"], values["vip_address"]
    found = [each for each in port.addresses if subnet_id in (None, each.subnet_id)]
    if subnet_id is not None and not found:
        raise validation("No VIP address found on the specified VIP port within the specified subnet.")
    if address is not None:
        found = [each for each in found if _same(each.address, address)]
        if not found:
            raise validation("Specified VIP address not found on the specified VIP port.")
    elif subnet_id is None and len(found) != 1:
        raise validation(
            "VIP port's subnet could not be determined. Please specify either a VIP subnet or address."
        )
    return found[0]


def _of_network(network: NetworkDriver, settings: NetworkingSettings, values: Values) -> Subnet:
    """The subnet that the request means, which holds the address that it wants, if any."""
    network_id, subnet_id, address = (
        values[key] for key in ("vip_network_id", "vip_subnet_id", "vip_address")
    )
    if network_id is not None:
        subnet = _on_network(network, values, _look_up("Network", network.network, network_id))
    elif subnet_id is not None:
        subnet = _look_up("Subnet", network.subnet, subnet_id)
    else:
        subnet = _by_default(network, settings, address)
    if address is not None and not subnet.holds(address):
        raise validation(f"IP address {address} is not a valid IP for the specified subnet.")
    return subnet


def _on_network(network: NetworkDriver, values: Values, found: Network) -> Subnet:
    subnet_id, address = values["vip_subnet_id"], values["vip_address"]
    if subnet_id is not None:
        if not found.has(subnet_id):
            raise foreign("Subnet", subnet_id)
        return _look_up("Subnet", network.subnet, subnet_id)
    subnets = [network.subnet(each) for each in found.subnet_ids]
    if not subnets:
        raise validation("Supplied network does not contain a subnet.")
    if address is not None:
        return _containing(subnets, address)
    # The VIP's, and one for each amphora.
    needed = 3 if values.get("topology") == Topology.ACTIVE_STANDBY else 2
    for subnet in sorted(subnets, key=lambda subnet: subnet.version):  # otherwise in the network's order
        free = network.free_addresses(subnet.id)
        if free is None or free >= needed:
            return subnet
    raise validation("Subnet(s) in the supplied network do not contain enough available IPs.")


def _by_default(network: NetworkDriver, settings: NetworkingSettings, address: str | None) -> Subnet:
    """The embedded shape: there is a subnet for VIPs, so a request need not name one."""
    default = network.default_vip_subnet_id
    if default is None:
        allowed = [source for source in _SOURCES if getattr(settings, f"allow_{source}")]
        raise validation(f"VIP must contain one of: {', '.join(allowed)}.")
    if address is None:
        return network.subnet(default)
    return _containing(
        [network.subnet(each) for found in network.networks() for each in found.subnet_ids], address
    )


def _containing(subnets: Sequence[Subnet], address: str) -> Subnet:
    for subnet in subnets:
        if subnet.holds(address):
            return subnet
    raise validation("Supplied network does not contain a subnet for VIP address specified.")


def _additional(
    network: NetworkDriver, network_id: str, primary_id: str, wanted: Sequence[Values]
) -> tuple[list[VipDict], list[str]]:
    """The additional VIPs as provider drivers take them, and the CIDRs of their subnets."""
    subnets = [_look_up("Subnet", network.subnet, vip["subnet_id"]) for vip in wanted]
    if len({primary_id, *(subnet.id for subnet in subnets)}) <= len(subnets):
        raise validation("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
    if subnets and not all(map(network.network(network_id).has, [subnet.id for subnet in subnets])):
        raise validation("All VIP subnets must belong to the same network.")
    for vip, subnet in zip(wanted, subnets, strict=True):
        if vip["ip_address"] is not None and not subnet.holds(vip["ip_address"]):
            raise validation(f"IP address {vip['ip_address']} is not a valid IP for the specified subnet.")
    additional = [{**vip, "network_id": network_id} for vip in wanted]
    return additional, [subnet.cidr for subnet in subnets]


def _network_allowed(settings: NetworkingSettings, valid: Collection[str] | None, network_id: str) -> None:
    listed = settings.valid_vip_networks if valid is None else valid
    if (listed and network_id not in listed) or network_id in settings.denylist_vip_networks:
        raise validation("Supplied VIP network_id is not allowed by the configuration of this deployment.")


def _own_port(network: NetworkDriver, load_balancer_id: str, source: Source) -> tuple[VipDict, list[VipDict]]:
    """The port of a provider that leaves it to us: the one of the request, or a new one."""
    if source.port_id is not None:
        port = network.port(source.port_id)
    else:
        wanted = [FixedAddress(source.subnet_id, source.address or "")]
        wanted += [FixedAddress(vip["subnet_id"], vip["ip_address"] or "") for vip in source.additional]
        try:
            port = network.create_port(
                source.network_id,
                name=f"octavia-lb-{load_balancer_id}",
                owner=f"lb-{load_balancer_id}",
                addresses=wanted,
            )
        except Conflict as taken:
            raise address_taken(taken.message) from taken
    on = {each.subnet_id: each.address for each in reversed(port.addresses)}
    vip: VipDict = {
        "vip_address": source.address if source.port_id else on[source.subnet_id],
        "vip_port_id": port.id,
        "octavia_owned": source.port_id is None,
    }
    additional = [
        {**each, "ip_address": on.get(each["subnet_id"], each["ip_address"]), "port_id": port.id}
        for each in source.additional
    ]
    return vip, additional


def _look_up(label: str, lookup: Callable[[str], T], identifier: str) -> T:
    try:
        return lookup(identifier)
    except NotFound as missing:
        raise foreign(label, identifier) from missing


def _same(one: str, other: str) -> bool:
    return kinds.plain_address(one) == kinds.plain_address(other)
