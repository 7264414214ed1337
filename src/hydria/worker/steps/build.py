"""Steps that bring a new amphora up to where its agent answers. None of them waits for a boot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hydria.drivers.compute.interface import AmphoraSpec, ComputeStatus, Instance
from hydria.drivers.network.interface import Port
from hydria.model.amphora import Amphora, AmphoraPort, Purpose
from hydria.model.errors import Busy, DriverError, Invalid, Refused, Unavailable, Unreachable
from hydria.model.rules import reserved
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.planner import convergence
from hydria.providers import capabilities
from hydria.store import amphora_ports, amphorae, offers, rows
from hydria.wire.boot import CLIENT_CA_PEM, SERVER_PEM, Boot
from hydria.wire.heartbeat import derive_key
from hydria.wire.logs import endpoint
from hydria.worker import ports
from hydria.worker.outcomes import Outcome, under_way
from hydria.worker.steps.step import Step
from hydria.worker.tools import Interrupted, Tools

# What says nothing against the amphora: another one would fare no better.
NOT_ITS_FAULT = (Refused, Interrupted, Busy, Unavailable, Invalid)
# Seconds that an agent has for an answer where its instance boots for longer than a pass waits.
_GLANCE = 0.5


@dataclass(slots=True)
class Building:
    """An amphora that is being built, with what is known of it so far; one object for all of its steps.

    alone: nobody else has the VIP. ports: on the LB network and on the VIP network, where this pass has made
    them; lb_port, vip_port: what was found out about them. instance: the one that this pass has ordered.
    """

    amphora: Amphora
    resumed: bool
    alone: bool
    ports: tuple[Port, Port] | None = None
    lb_port: AmphoraPort | None = None
    vip_port: AmphoraPort | None = None
    instance: Instance | None = None


class BuildStep(Step):
    """What the steps of a build share: a failure of this amphora's is recorded with it."""

    def __init__(self, tools: Tools, building: Building, tree: Tree, *, after: Iterable[str] = ()) -> None:
        super().__init__(tools, building.amphora.id, after=tuple(after))
        self.building = building
        self.tree = tree

    def failed(self, error: BaseException) -> None:
        """Have the next pass delete it, with whatever was built of it, and build another."""
        if isinstance(error, NOT_ITS_FAULT):
            return  # the next pass goes on with it
        amphora_id = self.building.amphora.id
        self.tools.notes.add(lambda tx: amphorae.update(tx, amphora_id, status=AmphoraStatus.ERROR))


class RecordAmphora(BuildStep):
    """Write the row first, so that whatever is built afterwards has an owner."""

    def act(self) -> None:
        if not self.building.resumed:
            self.tools.write(lambda tx: amphorae.add(tx, self.building.amphora))


class CreatePorts(BuildStep):
    """Get the amphora its places on both networks, and write down what is to know of them."""

    def act(self) -> None:
        if self.building.amphora.compute_id:
            return  # an earlier pass has plugged them
        network, amphora_id = self.tools.network, self.building.amphora.id
        vip_network = self.tree.load_balancer.vip_network_id or network.lb_network_id
        owner = f"amphora-{amphora_id}"
        zone = _chosen(self.tools, self.tree).get("availability_zone", {})
        lb_network = zone.get("management_network", network.lb_network_id)
        lb = network.create_port(lb_network, name=f"octavia-lb-mgmt-{amphora_id}", owner=owner)
        vip = network.create_port(vip_network, name=f"octavia-lb-vrrp-{amphora_id}", owner=owner)
        self.building.ports = lb, vip
        self.building.lb_port = ports.described(network, lb, amphora_id, Purpose.LB)
        self.building.vip_port = ports.described(network, vip, amphora_id, Purpose.VIP)
        made = self.building.lb_port, self.building.vip_port
        self.tools.notes.add(lambda tx: amphora_ports.record(tx, amphora_id, made))


class OrderInstance(BuildStep):
    """Have the compute service make it, with its certificate and settings inside."""

    def act(self) -> None:
        building, tools = self.building, self.tools
        if building.ports is None or building.lb_port is None or building.vip_port is None:
            return  # an earlier pass has ordered it
        lb, vip = building.ports
        balancer, amphora = self.tree.load_balancer, building.amphora
        certificate = tools.authority.issue(amphora.id)
        said = _chosen(tools, self.tree)
        selection = capabilities.selection(said.get("flavor"), said.get("availability_zone"))
        spec = AmphoraSpec(
            name=f"amphora-{amphora.id}",
            amphora_id=amphora.id,
            load_balancer_id=balancer.id,
            lb_network=ports.attachment(lb, building.lb_port),
            attachments=(ports.attachment(vip, building.vip_port),),
            boot=_boot(tools, amphora.id, lb),
            files={SERVER_PEM: certificate.pem, CLIENT_CA_PEM: tools.authority.client_ca_pem},
            selection=selection,
            vips=tuple(self.tree.vip_addresses()) if building.alone else (),
        )
        tools.check_wanted()
        # Whatever happens before the compute id is written down, the instance is found by its name.
        building.instance = tools.compute.order(spec)
        known = {
            "compute_id": building.instance.compute_id,
            "lb_network_ip": lb.addresses[0].address,
            "vrrp_ip": vip.addresses[0].address if vip.addresses else None,
            "vrrp_port_id": vip.id,
        }
        changes = known | {
            "ha_ip": balancer.vip_address,
            "ha_port_id": balancer.vip_port_id,
            "cert_expiration": certificate.expires.replace(tzinfo=None),  # UTC, as the tables keep moments
            "compute_flavor": selection.flavor or None,
            "cached_zone": selection.zone or None,
        }
        building.amphora = _with(amphora, **known)
        tools.notes.add(lambda tx: amphorae.update(tx, amphora.id, **changes))


class AwaitAgent(BuildStep):
    """See whether the instance runs and its agent answers. A long boot goes on without the pass."""

    def act(self) -> Outcome | None:
        tools, amphora = self.tools, self.building.amphora
        instance = self._started(self.building.instance or tools.compute.get(amphora.compute_id or ""))
        if instance.status is ComputeStatus.RUNNING:
            reason = self._asked(amphora, instance)
            if reason is None:
                return None
        else:
            reason = "The compute service is still building it."
        patience = tools.settings.controller_worker.amp_active_timeout
        age = (rows.now() - amphora.created_at).total_seconds()
        if age >= patience:
            raise Unreachable(f"Amphora {amphora.id} was not ready within {patience:g} s. {reason}")
        return under_way(min(convergence.look_again(max(age, 0.0)), max(patience - age, 0.1)))

    def _asked(self, amphora: Amphora, instance: Instance) -> str | None:
        """Why its agent does not answer yet; None when it does."""
        left = instance.ready_within - (rows.now() - amphora.created_at).total_seconds()
        deadline = max(_GLANCE, min(left, instance.ready_within))
        try:
            self.tools.amphorae.await_ready(amphora, deadline)
        except Unreachable as error:
            return str(error)
        return None

    def _started(self, found: Instance | None) -> Instance:
        """The instance; raises DriverError for one that will never be ready."""
        if found is not None and found.status in (ComputeStatus.BUILDING, ComputeStatus.RUNNING):
            return found
        state = "gone" if found is None else f"{found.status}: {found.fault or 'no reason given'}"
        raise DriverError(
            f"Amphora {self.building.amphora.id} did not start; the compute service says it is {state}."
        )


def _chosen(tools: Tools, tree: Tree) -> dict[str, Mapping[str, Any]]:
    """What the load balancer's flavor and availability zone say."""
    with tools.store.read() as tx:
        return offers.expanded(tx, tree.load_balancer)


def _boot(tools: Tools, amphora_id: str, lb: Port) -> Boot:
    settings = tools.settings
    logs = settings.amphora_agent
    return Boot(
        amphora_id=amphora_id,
        bind_host=lb.addresses[0].address,
        bind_port=settings.haproxy_amphora.bind_port,
        heartbeat_key=derive_key(tools.heartbeat_key, amphora_id),
        heartbeat_interval=settings.health_manager.heartbeat_interval,
        controllers=tools.controllers,
        hard_stop_after=settings.haproxy_amphora.hard_stop_after,
        retired_limit=settings.haproxy_amphora.retired_processes,
        haproxy=settings.haproxy_amphora.haproxy_cmd,
        closed=_closed(tools, lb.network_id),
        opened=_addresses((*tools.controllers, *logs.tenant_log_targets, *logs.admin_log_targets)),
    )


def _closed(tools: Tools, lb_network_id: str) -> tuple[str, ...]:
    """Where nothing of the amphora may go by itself: what is reserved, and the LB network."""
    network = tools.network
    lb = [network.subnet(subnet_id).cidr for subnet_id in network.network(lb_network_id).subnet_ids]
    networks = reserved.expanded((*tools.settings.networking.reserved_ips, *lb))
    return tuple(str(each) for each in networks)


def _addresses(endpoints: Iterable[str]) -> tuple[str, ...]:
    """The addresses of ``host:port``; names of hosts are left out."""
    found = set()
    for each in endpoints:
        with suppress(ValueError):
            found.add(endpoint(each)[0])
    return tuple(sorted(found))


def _with(amphora: Amphora, **changes: Any) -> Amphora:
    values = {name: getattr(amphora, name) for name in amphora.__struct_fields__}
    return Amphora(**{**values, **changes})
