"""Steps that end an amphora: cut off from the VIP, deleted, or left to be collected."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from hydria.drivers.compute.interface import Deletion
from hydria.model.amphora import Amphora
from hydria.model.errors import HydriaError
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.store import amphora_ports, amphorae, collection, rows
from hydria.worker.steps.step import Step
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)
# Seconds until the collector first tries what could not be deleted at once.
_FIRST_TRY = 5.0


class Fence(Step):
    """Cut a dead amphora off from the VIP at the network, which asks neither it nor its compute service."""

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree) -> None:
        super().__init__(tools, amphora.id)
        self.amphora = amphora
        self.tree = tree

    def act(self) -> None:
        fence(self.tools, self.amphora, self.tree)


class Delete(Step):
    """Delete an amphora with all that it has. What cannot be deleted now is fenced and collected later.

    succeeded: another amphora has the VIP, so this one is fenced first. While it ends it would refuse
    connections, and its neighbor discovery could draw the VIP's traffic back to it.
    """

    def __init__(
        self, tools: Tools, amphora: Amphora, tree: Tree, *, after: tuple[str, ...] = (), succeeded: bool
    ) -> None:
        super().__init__(tools, amphora.id, after=after)
        self.amphora = amphora
        self.tree = tree
        self.succeeded = succeeded

    def act(self) -> None:
        tools, amphora_id = self.tools, self.amphora.id

        def leave(tx: Any) -> None:
            amphorae.unwatch(tx, amphora_id)
            amphorae.update(tx, amphora_id, status=AmphoraStatus.PENDING_DELETE)

        tools.write(leave)
        if self.succeeded:
            try:
                fence(tools, self.amphora, self.tree)
            except HydriaError as error:
                LOG.warning("Amphora %s is not cut off before it ends: %s", amphora_id, error)
        try:
            reason = remove(tools, self.amphora)
        except HydriaError as error:
            reason = str(error)
        if not reason:
            tools.write(lambda tx: mark_deleted(tx, amphora_id))
            return
        fence(tools, self.amphora, self.tree)
        when = rows.now() + timedelta(seconds=_FIRST_TRY)
        tools.write(lambda tx: collection.postpone(tx, amphora_id, when, attempts=1))
        LOG.warning("Amphora %s is cut off from the VIP, and deleted later: %s", amphora_id, reason)


def fence(tools: Tools, amphora: Amphora, tree: Tree) -> None:
    """Cut an amphora off from the VIP."""
    if amphora.vrrp_port_id:
        tools.network.unplug_vip(amphora.vrrp_port_id, tree.vip_addresses())


def remove(tools: Tools, amphora: Amphora) -> str:
    """Have an amphora's instance deleted, then its ports; why it is not gone yet, "" when all of it is."""
    compute_id = amphora.compute_id
    if not compute_id:
        # A pass that was interrupted before it could write the compute id down.
        found = tools.compute.find(f"amphora-{amphora.id}")
        compute_id = found.compute_id if found else ""
    if compute_id:
        deletion = tools.compute.delete(compute_id)
        if deletion is Deletion.UNDER_WAY:
            return "the compute service is still deleting its instance."
        if deletion is Deletion.UNREACHABLE:
            return "the host of its instance does not answer."
    for port in tools.network.ports(f"amphora-{amphora.id}"):
        tools.network.delete_port(port.id)
    return ""


def mark_deleted(tx: Any, amphora_id: str) -> None:
    """Write down that nothing is left of an amphora."""
    amphora_ports.forget(tx, amphora_id)
    amphorae.update(tx, amphora_id, status=AmphoraStatus.DELETED, collect_at=None)
