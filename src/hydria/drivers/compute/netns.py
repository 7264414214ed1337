"""The embedded compute driver: an amphora is a network namespace on this host, with namespaces of its own of
every other kind, and limits where the host has control groups.

Everything of one amphora can be found by its namespace's name, ``hy<instance>-<the id's first 8 digits>``,
which is its compute id. A build goes: boot directory, namespace, links, control groups, first process; one
that was killed on the way has no process, and is removed before the next attempt.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property

from hydria.drivers import state_dir
from hydria.drivers.compute import cgroups, launch, namespaces, sizes, user_ids
from hydria.drivers.compute.cgroups import ControlGroups
from hydria.drivers.compute.interface import (
    AmphoraSpec,
    Attachment,
    ComputeStatus,
    Deletion,
    Instance,
    Selection,
)
from hydria.drivers.compute.order import Order, Room
from hydria.drivers.compute.records import Record, Records
from hydria.drivers.netlink import Netlink
from hydria.drivers.network import addressing, firewall, guards
from hydria.model.errors import DriverError
from hydria.settings import Settings

_log = logging.getLogger(__name__)
_ID_LENGTH = 8
_LINK_SECONDS = 2.0
_READY_SECONDS = 5.0  # on a busy host; a tenth of a second otherwise


class NetnsComputeDriver:
    """Amphorae on this host; needs root. ``command`` runs in place of the agent (tests)."""

    def __init__(self, settings: Settings, command: Sequence[str] = ()) -> None:
        self._settings = settings
        self._root = settings.state_dir
        self._command = tuple(command)
        self._records = Records(settings.state_dir, settings.netns.first_user)
        self._netlink = Netlink()
        self._launcher = launch.Launcher()

    def prepare(self) -> None:
        """Start the process that amphorae are forked from, which takes as long as a whole build."""
        self._launcher.server()

    def refusal(self, selection: Selection) -> str:
        """One host is one zone, and has no images; sizes are configured."""
        if selection.zone:
            return f"compute_zone '{selection.zone}': amphorae on this host are in no zone."
        if selection.volume_zone:
            return f"volume_zone '{selection.volume_zone}': amphorae have no volumes."
        if selection.image_tag:
            return f"amp_image_tag '{selection.image_tag}': amphorae on this host are made from no image."
        return sizes.refusal(self._settings.netns, selection.flavor)

    def order(self, spec: AmphoraSpec) -> Instance:
        """Build an amphora at once, or return it when it runs. What an earlier attempt left goes first."""
        name = self._name(spec.amphora_id)
        with self._exclusive(name):
            for other in self._amphorae(name):
                if other != spec.amphora_id:
                    raise DriverError(f"Amphora {other} has the namespace {name}, too: build under a new id.")
            found = self._find(name, _inhabitants(name))
            if found and found.status is ComputeStatus.RUNNING:
                return found
            self._remove(name)
            try:
                self._build(name, spec)
            except (DriverError, OSError) as error:
                self._remove(name)
                raise DriverError(f"Cannot build amphora {spec.amphora_id} on this host: {error}") from error
            address = spec.lb_network.port.addresses[0].address
            return Instance(name, spec.name, ComputeStatus.RUNNING, address, ready_within=_READY_SECONDS)

    def get(self, compute_id: str) -> Instance | None:
        """Look up an amphora."""
        if not compute_id.startswith(self._prefix):
            return None
        return self._find(compute_id, _inhabitants(compute_id))

    def find(self, name: str) -> Instance | None:
        """Look up an amphora by its name."""
        if state_dir.existing_instance_id(self._root) is None:
            return None
        for amphora_id in self._records.all():
            record = self._records.read(amphora_id)
            if record and record.name == name:
                return self.get(self._name(amphora_id))
        return None

    def delete(self, compute_id: str) -> Deletion:
        """End an amphora and remove all of it."""
        if compute_id.startswith(self._prefix):
            with self._exclusive(compute_id):
                self._remove(compute_id)
        return Deletion.GONE

    def instances(self) -> Iterable[Instance]:
        """Every amphora of this deployment, and whatever is left of any."""
        if state_dir.existing_instance_id(self._root) is None:
            return []
        names = {self._name(amphora_id) for amphora_id in self._records.all()}
        names.update(namespaces.names(self._prefix), self._groups.names())
        inhabitants = namespaces.inhabitants()
        gone = ComputeStatus.STOPPED
        return [self._find(name, inhabitants) or Instance(name, "", gone) for name in sorted(names)]

    def cleanup(self) -> None:
        """End and remove every amphora of this deployment."""
        if state_dir.existing_instance_id(self._root) is None:
            return
        for instance in self.instances():
            self.delete(instance.compute_id)
        dismantle(self._instance_id, self._netlink)

    @cached_property
    def _instance_id(self) -> str:
        return state_dir.instance_id(self._root)

    @property
    def _prefix(self) -> str:
        return prefix(self._instance_id)

    @property
    def _table(self) -> str:
        return firewall.PREFIX + self._instance_id

    @cached_property
    def _groups(self) -> ControlGroups:
        return ControlGroups(self._instance_id, cgroups.hierarchies())

    def _name(self, amphora_id: str) -> str:
        return self._prefix + amphora_id[:_ID_LENGTH]

    def _amphorae(self, name: str) -> list[str]:
        """The ids of amphorae with a boot directory that belong to a namespace's name: one, or none."""
        start = name.removeprefix(self._prefix)
        return [found for found in self._records.all() if found.startswith(start)]

    @contextmanager
    def _exclusive(self, name: str) -> Iterator[None]:
        """Keep other threads and programs off an amphora."""
        with self._records.exclusive(name):
            yield

    def _build(self, name: str, spec: AmphoraSpec) -> None:
        visible = launch.visible(self._settings.netns.visible_paths, spec.boot.haproxy)
        launch.check(self._root, visible)
        check(self._settings)
        size = sizes.of(self._settings.netns, spec.selection.flavor)
        record = self._make_room(name, self._records.create(spec))
        with ThreadPoolExecutor(1) as helper:  # nft takes as long as the links do, and nobody talks yet
            guarded = helper.submit(guards.admit, self._table, self._root, name, _guarded(spec))
            for number, attachment in enumerate((spec.lb_network, *spec.attachments)):
                # The LB network is between the host and each amphora alone.
                self._plug(name, f"eth{number}", attachment, isolated=number == 0)
        guarded.result()
        joins = self._groups.create(name, size)
        order = Order(
            namespace=str(namespaces.path(name)),
            state_dir=str(self._root.resolve()),
            joins=[str(join) for join in joins],
            links=launch.links(spec),
            command=list(self._command),
            visible=visible,
            boxed=record.root != 0,
        )
        with self._records.furnished(spec, record, size.memory_mb) as boot_dir:
            self._launcher.start(order, boot_dir)

    def _make_room(self, name: str, record: Record) -> Record:
        """Make the namespace; what is different of the amphora where the kernel gives no user namespaces."""
        refusals: list[str] = []
        namespaces.create(
            name, lambda: refusals.append(self._launcher.make(Room(name, record.user, record.root)))
        )
        if not refusals[-1]:
            return record
        _log.warning(
            "Amphora %s has no user namespace (%s): root inside is root of the host, with few capabilities.",
            record.amphora_id,
            refusals[-1],
        )
        namespaces.create(name)
        return dataclasses.replace(record, root=0)

    def _plug(self, name: str, interface: str, attachment: Attachment, *, isolated: bool) -> None:
        port = attachment.port
        try:
            bridge = socket.if_nametoindex(port.binding)
        except OSError as error:
            raise DriverError(f"the bridge {port.binding} of port {port.id} is not there.") from error
        namespace = os.open(namespaces.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._netlink.make_veth(
                addressing.link_name(port.id),
                group=link_group(self._instance_id),
                bridge=bridge,
                peer=interface,
                mac=port.mac,
                namespace=namespace,
                mtu=attachment.mtu,
                isolated=isolated,
            )
        finally:
            os.close(namespace)
        if isolated:
            # Another amphora may have had an address. An announcement of the new one would not do: a bridge
            # drops what comes before it has noticed, which is later, that its port is up.
            for fixed in port.addresses:
                self._netlink.forget_neighbor(bridge, fixed.address)

    def _remove(self, name: str) -> None:
        """Remove all of an amphora. The kernel removes its links along with the namespace, a little later."""
        amphorae = self._amphorae(name)
        if namespaces.inode(name) is None:
            for amphora_id in amphorae:
                for where in self._records.dwelled_in(amphora_id):
                    namespaces.end(name, where)
        namespaces.dismantle(name)
        guards.forget(self._table, self._root, name)
        self._groups.remove(name)
        for amphora_id in amphorae:
            self._records.remove(amphora_id)

    def _find(self, name: str, inhabitants: Mapping[int, list[int]]) -> Instance | None:
        """What there is of an amphora; None when nothing is."""
        amphora_id = next(iter(self._amphorae(name)), "")
        where = namespaces.inode(name)
        if where is None and not amphora_id:
            return None
        record = self._records.read(amphora_id) if amphora_id else None
        title, address = (record.name, record.lb_network_ip) if record else ("", "")
        if where in inhabitants:
            return Instance(name, title, ComputeStatus.RUNNING, address, ready_within=_READY_SECONDS)
        fault = (self._records.last_words(amphora_id) if amphora_id else "") or "nothing in its log"
        return Instance(name, title, ComputeStatus.STOPPED, address, f"No process runs in it: {fault}")


def check(settings: Settings) -> None:
    """Raise Invalid when a user of the host has, or may take, the number of an amphora."""
    network = addressing.network_of("lb_network_cidr", settings.bridge.lb_network_cidr)
    user_ids.check(settings.netns.first_user, network.num_addresses)


def prefix(instance: str) -> str:
    """What the names of an instance's namespaces begin with."""
    return f"hy{instance}-"


def link_group(instance: str) -> int:
    """The number that an instance's links to amphorae are found by."""
    return 1 << 24 | int(instance, 16)


def dismantle(instance: str, netlink: Netlink) -> None:
    """Remove an instance's amphorae from the host, whatever its state directory knows of them."""
    groups = ControlGroups(instance, cgroups.hierarchies())
    for name in sorted({*namespaces.names(prefix(instance)), *groups.names()}):
        namespaces.dismantle(name)
        groups.remove(name)
    groups.cleanup()
    # The kernel removes a namespace's links along with it, a little later.
    deadline = time.monotonic() + _LINK_SECONDS
    while left := _links(instance, netlink):
        if time.monotonic() > deadline:
            for name in left:
                netlink.delete(name)
            _log.warning(
                "Removed the links %s, which had not gone with a namespace; if processes of amphorae are in"
                " another container still, they are cut off.",
                ", ".join(left),
            )
        time.sleep(0.005)


def _links(instance: str, netlink: Netlink) -> list[str]:
    group = link_group(instance)
    return [link.name for link in netlink.links() if link.group == group and link.name.startswith("hy")]


def _inhabitants(name: str) -> Mapping[int, list[int]]:
    """Who lives where, if it is worth asking."""
    return namespaces.inhabitants() if namespaces.inode(name) else {}


def _guarded(spec: AmphoraSpec) -> guards.Ports:
    """What each port of an amphora may send from: on the LB network, no VIP."""
    ports = {addressing.link_name(each.port.id): each for each in (spec.lb_network, *spec.attachments)}
    return {
        link: (
            each.port.mac,
            [
                *(fixed.address for fixed in each.port.addresses),
                *(spec.vips if each is not spec.lb_network else ()),
            ],
        )
        for link, each in ports.items()
    }
