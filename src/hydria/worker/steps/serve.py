"""Steps that have an amphora serve the desired state. They ask the database and the agent, nobody else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from hydria.model.amphora import Amphora, AmphoraPort
from hydria.model.errors import DriverError, Unavailable
from hydria.model.statuses import AmphoraStatus
from hydria.model.tree import Tree
from hydria.store import amphorae
from hydria.wire.state import Heartbeats
from hydria.worker import ports, serving
from hydria.worker.steps.build import Building, BuildStep
from hydria.worker.steps.step import Step
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)


def apply(
    tools: Tools, amphora: Amphora, tree: Tree, port: AmphoraPort | None = None, *, with_vip: bool = True
) -> AmphoraPort:
    """Have an amphora serve the desired state; its port on the VIP network, as it is then.

    port: the same, where it is known; None: as it is recorded.
    """
    port = ports.secure(tools, port or ports.vip_port(tools, amphora), tree.load_balancer)
    interval = tools.settings.health_manager.heartbeat_interval
    told = Heartbeats(tools.controllers, interval)
    serving.apply(tools, amphora, tree, ports.interface(port, tree, with_vip=with_vip), told)
    return port


def record(tx: sa.Connection, amphora: Amphora, tree: Tree, **more: Any) -> None:
    """Write down which generation an amphora has confirmed."""
    amphorae.update(tx, amphora.id, applied_generation=tree.load_balancer.generation, **more)


class Configure(Step):
    """Have an amphora that serves serve the desired state."""

    def __init__(self, tools: Tools, amphora: Amphora, tree: Tree) -> None:
        super().__init__(tools, amphora.id)
        self.amphora = amphora
        self.tree = tree

    def act(self) -> None:
        apply(self.tools, self.amphora, self.tree)
        self.tools.notes.add(lambda tx: record(tx, self.amphora, self.tree))


class Keep(Configure):
    """Have one that is to be replaced serve the desired state until then, if it answers."""

    def act(self) -> None:
        try:
            super().act()
        except DriverError as error:
            LOG.warning("Amphora %s, which is to be replaced: %s", self.amphora.id, error)


class Preload(BuildStep):
    """Have a new amphora ready to serve, all but the VIP: until it has that, another one may serve.

    planned: one that serves is to be replaced, which can wait until the store of secrets answers.
    """

    def __init__(
        self, tools: Tools, building: Building, tree: Tree, *, after: Iterable[str], planned: bool
    ) -> None:
        super().__init__(tools, building, tree, after=after)
        self.planned = planned

    def act(self) -> None:
        building = self.building
        building.vip_port = apply(self.tools, building.amphora, self.tree, building.vip_port, with_vip=False)
        if self.planned and self.tools.findings.waits(self.building.amphora.id):
            raise Unavailable(
                "The store of secrets does not answer. The amphora to be replaced serves until it does."
            )


class Activate(BuildStep):
    """Have a new amphora take the VIP, and watch it from then on."""

    def __init__(self, tools: Tools, building: Building, tree: Tree, *, after: Sequence[str]) -> None:
        super().__init__(tools, building, tree, after=after)

    def act(self) -> None:
        tools, amphora = self.tools, self.building.amphora
        # It takes the VIP: a pass that is not the latest any more must not get as far as that.
        tools.check_wanted()
        if not self.building.alone and amphora.vrrp_port_id:
            tools.network.plug_vip(amphora.vrrp_port_id, self.tree.vip_addresses())
        self.building.vip_port = apply(tools, amphora, self.tree, self.building.vip_port)

        def serve(tx: sa.Connection) -> None:
            record(tx, amphora, self.tree, status=AmphoraStatus.ALLOCATED)
            amphorae.watch(tx, amphora.id, time.time())

        tools.notes.add(serve)
