"""An amphora's ports: made once, recorded, and from then on known without asking the network service."""

from __future__ import annotations

import json
from dataclasses import replace

from hydria.drivers.compute.interface import Attachment
from hydria.drivers.network.interface import NetworkDriver, Port
from hydria.model.amphora import Amphora, AmphoraPort, PortAddress, Purpose
from hydria.model.errors import DriverError
from hydria.model.load_balancer import LoadBalancer
from hydria.model.tree import Tree
from hydria.store import amphora_ports
from hydria.wire.state import Interface
from hydria.worker.tools import Tools


def described(network: NetworkDriver, port: Port, amphora_id: str, purpose: Purpose) -> AmphoraPort:
    """All that an amphora has to know of its port, asked of the network service."""
    addresses = []
    for fixed in port.addresses:
        subnet = network.subnet(fixed.subnet_id)
        addresses.append(PortAddress(f"{fixed.address}/{subnet.prefix_length}", subnet.gateway))
    mtu = network.network(port.network_id).mtu
    return AmphoraPort(port.id, amphora_id, purpose, port.network_id, port.mac, mtu, tuple(addresses))


def vip_port(tools: Tools, amphora: Amphora) -> AmphoraPort:
    """An amphora's port on the VIP network. One of an earlier release is looked up once, and recorded."""
    known = tools.vip_ports.get(amphora.id)
    if known is not None:
        return known
    if not amphora.vrrp_port_id:
        raise DriverError(f"Amphora {amphora.id} has no port on the VIP network: have it fail over.")
    port = tools.network.port(amphora.vrrp_port_id)
    found = described(tools.network, port, amphora.id, Purpose.VIP)
    tools.notes.add(lambda tx: amphora_ports.record(tx, amphora.id, [found]))
    return found


def secure(tools: Tools, port: AmphoraPort, balancer: LoadBalancer) -> AmphoraPort:
    """Give a port the load balancer's security groups and QoS policy, where it has others; as it is then."""
    wanted = security(balancer)
    if port.security == wanted:
        return port
    tools.network.guard_port(
        port.id, security_group_ids=balancer.vip_sg_ids, qos_policy_id=balancer.vip_qos_policy_id or ""
    )
    tools.notes.add(lambda tx: amphora_ports.secure(tx, port.id, wanted))
    return replace(port, security=wanted)


def security(balancer: LoadBalancer) -> str:
    """Security groups and QoS policy as one text, to compare."""
    return json.dumps([sorted(balancer.vip_sg_ids), balancer.vip_qos_policy_id or ""])


def attachment(port: Port, facts: AmphoraPort) -> Attachment:
    """What the compute service needs to know to plug a port."""
    return Attachment(port, facts.mtu, tuple(each.address for each in facts.addresses))


def interface(port: AmphoraPort, tree: Tree, *, with_vip: bool) -> Interface:
    """The amphora's interface on the VIP network."""
    gateways = {each.version: each.gateway for each in port.addresses}
    # Whole-host prefixes: the amphora's own address stays the source of what it sends to members.
    vips = tuple(f"{address}/{128 if ':' in address else 32}" for address in tree.vip_addresses())
    return Interface(
        mac=port.mac,
        mtu=port.mtu,
        addresses=tuple(each.address for each in port.addresses),
        vips=vips if with_vip else (),
        gateway4=gateways.get(4, ""),
        gateway6=gateways.get(6, ""),
    )
