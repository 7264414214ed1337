"""A worker dies, or freezes and is overtaken, at each call to a driver of each operation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.errors import DriverError
from hydria.model.statuses import AmphoraStatus, Topology
from hydria.store import amphorae, changes, rows, tables
from hydria.worker.collector import Collector
from hydria.worker.converger import Converger, Result
from hydria.worker.leasekeeper import LeaseKeeper
from tests.unit.test_worker_converger import Bench, bench, pending_pool

__all__ = ["bench"]  # a fixture
MOST_CALLS = 60


class Killed(BaseException):
    """As kill -9: nobody handles it."""


class Counter:
    """Calls ``then`` before the n-th call to any driver, once."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = 0
        self.then: Callable[[], None] = lambda: None

    def arm(self, at: int, then: Callable[[], None]) -> None:
        self.calls, self.at, self.then = 0, at, then

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.then()


class Counted:
    """A driver whose calls are counted."""

    def __init__(self, driver: Any, counter: Counter, counted: tuple[str, ...]) -> None:
        self._driver = driver
        self._counter = counter
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name not in self._counted:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._counter()
            return found(*arguments, **named)

        return call


class Network(NoopNetworkDriver):
    """Knows which ports have the VIP."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.vip: set[str] = set()

    def plug_vip(self, port_id: str, addresses: Any) -> None:
        self.vip.add(port_id)

    def unplug_vip(self, port_id: str, addresses: Any) -> None:
        self.vip.discard(port_id)


class Compute(NoopComputeDriver):
    """Plugs the VIP where it is ordered so."""

    network: Network

    def order(self, spec: Any) -> Any:
        if spec.vips:
            self.network.vip.add(spec.attachments[0].port.id)
        return super().order(spec)


@dataclasses.dataclass
class Stage(Bench):
    network: Network
    compute: Compute
    counter: Counter

    def worker(self, name: str, *, counted: bool = False) -> Converger:
        tools = self.tools
        if counted:
            tools = dataclasses.replace(
                tools,
                network=Counted(
                    self.network, self.counter, ("create_port", "plug_vip", "unplug_vip", "delete_port")
                ),
                compute=Counted(self.compute, self.counter, ("order", "get", "find", "delete")),
                amphorae=Counted(self.agent, self.counter, ("await_ready", "apply")),
            )
        return Converger(tools, name, LeaseKeeper(self.store, 30))

    def free(self) -> None:
        """The lease of a dead or frozen worker has run out."""
        row = tables.leases
        self.store.transact(lambda tx: tx.execute(sa.update(row).values(expires_at=1.0)))

    def pass_time(self) -> None:
        """All pauses are over."""
        row = tables.load_balancers
        for column in (row.c.retry_at, row.c.look_at):
            over = sa.update(row).where(column.is_not(None)).values({column: rows.now()})
            self.store.transact(lambda tx, over=over: tx.execute(over))

    def finish(self, balancer_id: str) -> None:
        """What another worker does afterwards, whatever time it takes."""
        other = self.worker("other:2")
        for _ in range(10):
            self.pass_time()
            outcome = other.converge(balancer_id)
            if outcome.result is Result.IDLE:
                break
        else:
            raise AssertionError(f"there is always something left to do: {outcome}")
        row = tables.amphorae
        due = sa.update(row).where(row.c.collect_at.is_not(None)).values(collect_at=rows.now())
        self.store.transact(lambda tx: tx.execute(due))
        Collector(self.tools, 1.0).look()


@pytest.fixture
def stage(bench: Bench) -> Stage:
    settings = bench.tools.settings
    network, compute = Network(settings), Compute(settings)
    compute.network = network
    tools = dataclasses.replace(bench.tools, network=network, compute=compute)
    converger = Converger(tools, "first:1", LeaseKeeper(tools.store, 30))
    return Stage(tools, bench.agent, converger, network, compute, Counter())


def created(stage: Stage, topology: Topology) -> str:
    return stage.add(pending_pool, topology=topology)


def changed(stage: Stage, topology: Topology) -> str:
    balancer_id = created(stage, topology)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    stage.touch(balancer_id)
    return balancer_id


def dead(stage: Stage, topology: Topology) -> str:
    balancer_id = changed(stage, topology)
    first = stage.amphorae(balancer_id)[0]
    stage.store.transact(lambda tx: amphorae.update(tx, first.id, status=AmphoraStatus.ERROR))
    return balancer_id


def failed_over(stage: Stage, topology: Topology) -> str:
    balancer_id = changed(stage, topology)
    stage.store.transact(lambda tx: amphorae.request_failover(tx, load_balancer_id=balancer_id))
    return balancer_id


OPERATIONS = [created, changed, dead, failed_over]


def check(stage: Stage, balancer_id: str, topology: Topology) -> None:
    """Everything is confirmed, each slot has one amphora, and of what was begun nothing is left."""
    tree = stage.tree(balancer_id)
    assert tree.load_balancer.provisioning_status == "ACTIVE"
    assert tree.load_balancer.fault is None
    assert {pool.provisioning_status for pool in tree.pools} == {"ACTIVE"}
    found = stage.amphorae(balancer_id)
    assert len(found) == (2 if topology is Topology.ACTIVE_STANDBY else 1)
    assert {one.status for one in found} == {AmphoraStatus.ALLOCATED}
    assert {one.applied_generation for one in found} == {tree.load_balancer.generation}
    assert {one.name for one in stage.compute.instances()} == {f"amphora-{one.id}" for one in found}
    owners = {port.owner for port in stage.network.ports() if port.owner.startswith("amphora")}
    assert owners == {f"amphora-{one.id}" for one in found}
    assert {one.vrrp_port_id for one in found} <= stage.network.vip, "those that serve have the VIP"
    stages = {port.id for port in stage.network.ports()}
    assert stage.network.vip & stages == {one.vrrp_port_id for one in found}, "and nobody else that is there"
    with stage.store.read() as tx:
        assert tx.execute(sa.select(tables.leases.c.owner)).scalar() is None


@pytest.mark.parametrize("topology", list(Topology))
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("way", ["killed", "overtaken"])
def test_at_each_call(stage: Stage, operation: Any, topology: Topology, way: str) -> None:
    reached = 0
    for at in range(1, MOST_CALLS):
        balancer_id = operation(stage, topology)
        worker = stage.worker("first:1", counted=True)

        def die() -> None:
            raise Killed

        def freeze(balancer_id: str = balancer_id) -> None:
            stage.free()
            stage.finish(balancer_id)

        stage.counter.arm(at, die if way == "killed" else freeze)
        try:
            worker.converge(balancer_id)
        except Killed:
            stage.free()
        stage.finish(balancer_id)
        check(stage, balancer_id, topology)
        remove(stage, balancer_id)
        if stage.counter.calls < at:
            break
        reached = at
    else:
        raise AssertionError("there are ever more calls")
    assert reached >= (1 if operation is changed else 4)


@pytest.mark.parametrize("way", ["killed", "overtaken", "failing"])
def test_a_deletion_at_each_call(stage: Stage, way: str) -> None:
    for at in range(1, MOST_CALLS):
        balancer_id = created(stage, Topology.ACTIVE_STANDBY)
        assert stage.converger.converge(balancer_id).result is Result.DONE
        mark_for_deletion(stage, balancer_id)
        worker = stage.worker("first:1", counted=True)

        def happen(balancer_id: str = balancer_id) -> None:
            if way == "killed":
                raise Killed
            if way == "failing":
                raise DriverError("it is away")
            stage.free()
            finish_deletion(stage, balancer_id)

        stage.counter.arm(at, happen)
        try:
            worker.converge(balancer_id)
        except Killed:
            stage.free()
        remove(stage, balancer_id)
        if stage.counter.calls < at:
            break
    assert at > 3


def mark_for_deletion(stage: Stage, balancer_id: str) -> None:
    stage.store.transact(
        lambda tx: changes.touch(tx, changes.lock(tx, balancer_id), provisioning_status="PENDING_DELETE")
    )


def remove(stage: Stage, balancer_id: str) -> None:
    """Delete it, and see that nothing of it is left."""
    if stage.tree(balancer_id).load_balancer.provisioning_status != "DELETED":
        if stage.tree(balancer_id).load_balancer.provisioning_status != "PENDING_DELETE":
            mark_for_deletion(stage, balancer_id)
        finish_deletion(stage, balancer_id)
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "DELETED"
    row = tables.amphorae
    due = sa.update(row).where(row.c.collect_at.is_not(None)).values(collect_at=rows.now())
    stage.store.transact(lambda tx: tx.execute(due))
    Collector(stage.tools, 1.0).look()
    assert stage.amphorae(balancer_id) == ()
    assert list(stage.compute.instances()) == []
    assert [port for port in stage.network.ports() if port.owner.startswith("amphora")] == []
    stage.store.transact(lambda tx: tx.execute(sa.delete(tables.load_balancers)))


def finish_deletion(stage: Stage, balancer_id: str) -> None:
    other = stage.worker("other:2")
    for _ in range(10):
        stage.pass_time()
        if other.converge(balancer_id).result is Result.DONE:
            return
    raise AssertionError("it is never deleted")
