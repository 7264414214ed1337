"""Steps in an amphora's life: recorded, plugged, built, reached, configured, retired."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hydria.drivers.compute.interface import AmphoraSpec, Attachment, ComputeStatus, Instance
from hydria.drivers.network.interface import FixedAddress, Port
from hydria.model.amphora import Amphora
from hydria.model.errors import Busy, DriverError, Invalid, Refused, Unavailable, Unreachable
from hydria.model.rules import reserved
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.providers import capabilities
from hydria.store import amphorae, offers
from hydria.wire.boot import CLIENT_CA_PEM, SERVER_PEM, Boot
from hydria.wire.heartbeat import derive_key
from hydria.wire.logs import endpoint
from hydria.wire.state import Heartbeats, Interface
from hydria.worker import serving
from hydria.worker.steps.step import Step
from hydria.worker.tools import Interrupted, Tools

LOG = logging.getLogger(__name__)
# What ends a pass and says nothing against the amphora: another one would fare no better.
_NOT_ITS_FAULT = (Refused, Interrupted, Busy, Unavailable, Invalid)
# Seconds between looks at an amphora that boots, and at whether anybody still waits for it.
_LOOK = 2.0


@dataclass(frozen=True, slots=True)
class Ports:
    """An amphora's ports on the LB network and on the VIP network."""

    lb: Port
    vip: Port


class RecordAmphora(Step):
    """Write the row first, so that whatever is built afterwards has an owner."""

    def __init__(self, tools: Tools, amphora: Amphora, *, resumed: bool) -> None:
        super().__init__(tools, amphora.id)
        self.amphora = amphora
        self.resumed = resumed

    def execute(self) -> None:
        if not self.resumed:
            self.tools.write(lambda tx: amphorae.add(tx, self.amphora))

    def revert(self, *_arguments: Any, flow_failures: Mapping[str, Any], **_named: Any) -> None:
        if all(isinstance(failure.exception, _NOT_ITS_FAULT) for failure in flow_failures.values()):
            return  # the next pass goes on with it
        # The next pass retires it, with whatever was built of it, and makes another.
        self.tools.write(lambda tx: amphorae.update(tx, self.amphora.id, status=AmphoraStatus.ERROR))


class CreatePorts(Step):
    """Get the amphora its places on both networks."""

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree) -> None:
        super().__init__(tools, amphora.id, provides=f"ports:{amphora.id}")
        self.amphora = amphora
        self.tree = tree

    def execute(self) -> Ports:
        network, amphora_id = self.tools.network, self.amphora.id
        vip_network = self.tree.load_balancer.vip_network_id or network.lb_network_id
        owner = f"amphora-{amphora_id}"
        zone = _chosen(self.tools, self.tree).get("availability_zone", {})
        lb_network = zone.get("management_network", network.lb_network_id)
        lb = network.create_port(lb_network, name=f"octavia-lb-mgmt-{amphora_id}", owner=owner)
        vip = network.create_port(vip_network, name=f"octavia-lb-vrrp-{amphora_id}", owner=owner)
        return Ports(lb, vip)


class BuildInstance(Step):
    """Have the compute service make it, with its certificate and settings inside."""

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree) -> None:
        super().__init__(tools, amphora.id, provides=f"instance:{amphora.id}", rebind=[f"ports:{amphora.id}"])
        self.amphora = amphora
        self.tree = tree

    def execute(self, ports: Ports) -> Instance:
        tools, balancer = self.tools, self.tree.load_balancer
        certificate = tools.authority.issue(self.amphora.id)
        said = _chosen(tools, self.tree)
        selection = capabilities.selection(said.get("flavor"), said.get("availability_zone"))
        spec = AmphoraSpec(
            name=f"amphora-{self.amphora.id}",
            amphora_id=self.amphora.id,
            load_balancer_id=balancer.id,
            lb_network=attachment(tools, ports.lb),
            attachments=(attachment(tools, ports.vip),),
            boot=self._boot(ports),
            files={SERVER_PEM: certificate.pem, CLIENT_CA_PEM: tools.authority.client_ca_pem},
            selection=selection,
            vips=tuple(self.tree.vip_addresses()),
        )
        vip_address = ports.vip.addresses[0].address if ports.vip.addresses else None
        tools.check_wanted()
        # Whatever happens before the compute id is written down, the instance is found by its name.
        instance = tools.compute.build(spec)
        changes = {
            "compute_id": instance.compute_id,
            "lb_network_ip": ports.lb.addresses[0].address,
            "vrrp_ip": vip_address,
            "vrrp_port_id": ports.vip.id,
            "ha_ip": balancer.vip_address,
            "ha_port_id": balancer.vip_port_id,
            "cert_expiration": certificate.expires.replace(tzinfo=None),  # UTC, as the tables keep moments
            "compute_flavor": selection.flavor or None,
            "cached_zone": selection.zone or None,
        }
        tools.notes.add(lambda tx: amphorae.update(tx, self.amphora.id, **changes))
        return instance

    def _boot(self, ports: Ports) -> Boot:
        settings = self.tools.settings
        logs = settings.amphora_agent
        return Boot(
            amphora_id=self.amphora.id,
            bind_host=ports.lb.addresses[0].address,
            bind_port=settings.haproxy_amphora.bind_port,
            heartbeat_key=derive_key(self.tools.heartbeat_key, self.amphora.id),
            heartbeat_interval=settings.health_manager.heartbeat_interval,
            controllers=self.tools.controllers,
            hard_stop_after=settings.haproxy_amphora.hard_stop_after,
            retired_limit=settings.haproxy_amphora.retired_processes,
            haproxy=settings.haproxy_amphora.haproxy_cmd,
            closed=self._closed(ports.lb.network_id),
            opened=_addresses((*self.tools.controllers, *logs.tenant_log_targets, *logs.admin_log_targets)),
        )

    def _closed(self, lb_network_id: str) -> tuple[str, ...]:
        """Where nothing of the amphora may go by itself: what is reserved, and the LB network."""
        network = self.tools.network
        lb = [network.subnet(subnet_id).cidr for subnet_id in network.network(lb_network_id).subnet_ids]
        networks = reserved.expanded((*self.tools.settings.networking.reserved_ips, *lb))
        return tuple(str(each) for each in networks)


def _addresses(endpoints: Iterable[str]) -> tuple[str, ...]:
    """The addresses of ``host:port``; names of hosts are left out."""
    found = set()
    for each in endpoints:
        with suppress(ValueError):
            found.add(endpoint(each)[0])
    return tuple(sorted(found))


class AwaitAgent(Step):
    """Wait until the instance runs and its agent answers."""

    def __init__(self, tools: Tools, amphora: Amphora) -> None:
        super().__init__(
            tools,
            amphora.id,
            provides=f"ready:{amphora.id}",
            rebind=[f"ports:{amphora.id}", f"instance:{amphora.id}"],
        )
        self.amphora = amphora

    def execute(self, ports: Ports, instance: Instance) -> Amphora:
        amphora = _with(
            self.amphora,
            compute_id=instance.compute_id,
            lb_network_ip=ports.lb.addresses[0].address,
            vrrp_port_id=ports.vip.id,
        )
        patience = self.tools.settings.controller_worker.amp_active_timeout
        deadline = time.monotonic() + patience
        found: Instance | None = instance
        while True:
            self._check(found)
            left = deadline - time.monotonic()
            if found is not None and found.status is ComputeStatus.RUNNING:
                try:
                    self.tools.amphorae.await_ready(amphora, max(0.1, min(_LOOK, left)))
                except Unreachable as error:
                    reason = str(error)
                else:
                    return amphora
            else:
                reason = "The compute service is still building it."
                self.tools.stopping.wait(min(_LOOK / 2, left))
            if time.monotonic() >= deadline:
                raise Unreachable(f"Amphora {amphora.id} was not ready within {patience:g} s. {reason}")
            self.tools.check_wanted()
            self.tools.write(lambda _tx: None)  # it takes its time: what is known of it is not to wait for it
            found = self.tools.compute.get(instance.compute_id)

    def _check(self, found: Instance | None) -> None:
        """Raise DriverError for one that will never be ready."""
        if found is None or found.status not in (ComputeStatus.BUILDING, ComputeStatus.RUNNING):
            state = "gone" if found is None else f"{found.status}: {found.fault or 'no reason given'}"
            raise DriverError(
                f"Amphora {self.amphora.id} did not start; the compute service says it is {state}."
            )


class Serving(Step):
    """What configuring an amphora and commissioning one share."""

    def __init__(
        self, tools: Tools, amphora: Amphora, tree: Tree, *, rebind: list[str] | None = None
    ) -> None:
        super().__init__(tools, amphora.id, rebind=rebind)
        self.amphora = amphora
        self.tree = tree

    def _apply(self, amphora: Amphora, *, with_vip: bool = True) -> None:
        balancer = self.tree.load_balancer
        self.tools.network.guard_port(
            amphora.vrrp_port_id or "",
            security_group_ids=balancer.vip_sg_ids,
            qos_policy_id=balancer.vip_qos_policy_id or "",
        )
        interface = vip_interface(self.tools, amphora, self.tree)
        if not with_vip:
            interface = dataclasses.replace(interface, vips=())
        interval = self.tools.settings.health_manager.heartbeat_interval
        told = Heartbeats(self.tools.controllers, interval)
        serving.apply(self.tools, amphora, self.tree, interface, told)

    def _record(self, tx: sa.Connection, **more: Any) -> None:
        generation = self.tree.load_balancer.generation
        amphorae.update(tx, self.amphora.id, applied_generation=generation, **more)


class Configure(Serving):
    """Have an amphora that serves serve the desired state."""

    def execute(self) -> None:
        self._apply(self.amphora)
        self.tools.notes.add(self._record)


class Keep(Configure):
    """Have one that is to be replaced serve the desired state until then, if it answers."""

    def execute(self) -> None:
        try:
            super().execute()
        except DriverError as error:
            LOG.warning("Amphora %s, which is to be replaced: %s", self.amphora.id, error)


class Prepare(Serving):
    """Have a new amphora ready to serve, all but the VIP: until it has that, another one may serve.

    planned: one that serves is to be replaced, which can wait until the store of secrets answers.
    """

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree, *, planned: bool = False) -> None:
        super().__init__(tools, amphora, tree, rebind=[f"ready:{amphora.id}"])
        self.planned = planned

    def execute(self, ready: Amphora) -> None:
        self._apply(ready, with_vip=False)
        if self.planned and self.tools.findings.waits(ready.id):
            raise Unavailable(
                "The store of secrets does not answer. The amphora to be replaced serves until it does."
            )


class Commission(Serving):
    """Have a new amphora serve, and watch it from then on."""

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree) -> None:
        super().__init__(tools, amphora, tree, rebind=[f"ready:{amphora.id}"])

    def execute(self, ready: Amphora) -> None:
        # It takes the VIP: a pass that is not the latest any more must not get as far as that.
        self.tools.check_wanted()
        self._apply(ready)

        def record(tx: sa.Connection) -> None:
            self._record(tx, status=AmphoraStatus.ALLOCATED)
            amphorae.watch(tx, self.amphora.id, time.time())

        self.tools.notes.add(record)


class Retire(Step):
    """End an amphora and give back all that it had."""

    def __init__(self, tools: Tools, amphora: Amphora) -> None:
        super().__init__(tools, amphora.id)
        self.amphora = amphora

    def execute(self) -> None:
        tools, amphora_id = self.tools, self.amphora.id

        def leave(tx: Any) -> None:
            amphorae.unwatch(tx, amphora_id)
            amphorae.update(tx, amphora_id, status=AmphoraStatus.PENDING_DELETE)

        tools.write(leave)
        for instance in self._instances():
            tools.compute.delete(instance)
        for port in tools.network.ports():
            if port.owner == f"amphora-{amphora_id}":
                tools.network.delete_port(port.id)
        tools.write(lambda tx: amphorae.update(tx, amphora_id, status=AmphoraStatus.DELETED))

    def _instances(self) -> list[str]:
        if self.amphora.compute_id:
            return [self.amphora.compute_id]
        # A pass that was interrupted before it could write the compute id down.
        name = f"amphora-{self.amphora.id}"
        return [instance.compute_id for instance in self.tools.compute.instances() if instance.name == name]


class Clear(Retire):
    """End what a failed build left, if that can be done now: users do not wait for it."""

    def execute(self) -> None:
        try:
            super().execute()
        except DriverError as error:
            LOG.warning("Amphora %s, whose build failed, is not gone yet: %s", self.amphora.id, error)


def attachment(tools: Tools, port: Port) -> Attachment:
    """What the compute service needs to know to plug a port."""
    network = tools.network.network(port.network_id)
    return Attachment(port, network.mtu, tuple(_with_prefix(tools, fixed) for fixed in port.addresses))


def vip_interface(tools: Tools, amphora: Amphora, tree: Tree) -> Interface:
    """The amphora's interface on the VIP network, with the VIP on it."""
    port = tools.network.port(amphora.vrrp_port_id or "")
    gateways = {4: "", 6: ""}
    for fixed in port.addresses:
        subnet = tools.network.subnet(fixed.subnet_id)
        gateways[subnet.version] = subnet.gateway
    return Interface(
        mac=port.mac,
        mtu=tools.network.network(port.network_id).mtu,
        addresses=tuple(_with_prefix(tools, fixed) for fixed in port.addresses),
        # Whole-host prefixes: the amphora's own address stays the source of what it sends to members.
        vips=tuple(f"{address}/{128 if ':' in address else 32}" for address in tree.vip_addresses()),
        gateway4=gateways[4],
        gateway6=gateways[6],
    )


def _chosen(tools: Tools, tree: Tree) -> dict[str, Mapping[str, Any]]:
    """What the load balancer's flavor and availability zone say."""
    with tools.store.read() as tx:
        return offers.expanded(tx, tree.load_balancer)


def _with_prefix(tools: Tools, fixed: FixedAddress) -> str:
    return f"{fixed.address}/{tools.network.subnet(fixed.subnet_id).prefix_length}"


def _with(amphora: Amphora, **changes: Any) -> Amphora:
    values = {name: getattr(amphora, name) for name in amphora.__struct_fields__}
    return Amphora(**{**values, **changes})
