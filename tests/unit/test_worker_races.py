"""What comes in between: changes, deletions, other workers, a worker's end, a database that goes away."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from hydria import controllers
from hydria.drivers.compute.interface import AmphoraSpec, Deletion, Instance
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.interface import FixedAddress, Port
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError, Outdated, Refused, Superseded, Unavailable, Unreachable
from hydria.model.statuses import AmphoraStatus, ProvisioningStatus, Topology
from hydria.store import amphorae, changes, collection, leases, rows, tables
from hydria.wire.state import Applied, DesiredState
from hydria.worker.collector import Collector
from hydria.worker.converger import Converger, Result
from hydria.worker.leasekeeper import LeaseKeeper
from tests.unit.test_worker_converger import Agent, Bench, bench, due, pending_pool

__all__ = ["bench"]  # a fixture


class Hooked(NoopNetworkDriver):
    """``during`` runs before the first port is made. vip: which ports have been given it or cut off, in order.

    unfenced: raised instead of cutting one off. asked: the names of the methods that were called.
    """

    during: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.vip: list[tuple[str, str]] = []
        self.unfenced: DriverError | None = None
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_") and name != "during":
            super().__getattribute__("asked").append(name)
        return found

    def plug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        self.vip.append(("plug", port_id))

    def unplug_vip(self, port_id: str, addresses: Iterable[str]) -> None:
        if self.unfenced:
            raise self.unfenced
        self.vip.append(("unplug", port_id))

    def create_port(
        self, network_id: str, *, name: str, owner: str, addresses: Iterable[FixedAddress] = ()
    ) -> Port:
        during, self.during = self.during, lambda: None
        during()
        return super().create_port(network_id, name=name, owner=owner, addresses=addresses)


class Counted(NoopComputeDriver):
    """Counts what is ordered.

    fails: raised by deletions. answers: what deletions come to otherwise. full: nothing can be ordered.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.built: list[str] = []
        self.fails: DriverError | None = None
        self.answers = Deletion.GONE
        self.full = False
        self.dead = False

    def order(self, spec: AmphoraSpec) -> Instance:
        if self.full:
            raise DriverError("no host has room")
        self.built.append(spec.amphora_id)
        return super().order(spec)

    def get(self, compute_id: str) -> Instance | None:
        return None if self.dead else super().get(compute_id)

    def delete(self, compute_id: str) -> Deletion:
        if self.fails:
            raise self.fails
        return super().delete(compute_id) if self.answers is Deletion.GONE else self.answers


class Booting(Agent):
    """Never gets ready: every wait ends in vain, after ``meanwhile``."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def await_ready(self, amphora: Amphora, timeout: float) -> None:
        self.meanwhile()
        time.sleep(min(timeout, 0.01))
        raise Unreachable("nobody answers yet")


@dataclasses.dataclass
class Stage(Bench):
    network: Hooked
    compute: Counted

    def another(self, name: str = "other:2", **tools: Any) -> Converger:
        """Another worker."""
        return Converger(dataclasses.replace(self.tools, **tools), name, LeaseKeeper(self.store, 30))

    def steal(self, balancer_id: str) -> None:
        """The lease of whoever has it runs out."""
        row = tables.leases
        self.store.transact(
            lambda tx: tx.execute(
                sa.update(row).where(row.c.load_balancer_id == balancer_id).values(expires_at=1.0)
            )
        )

    def overtake(self, balancer_id: str) -> None:
        """Another worker takes over, and finishes."""
        self.steal(balancer_id)
        assert self.another().converge(balancer_id).result is Result.DONE

    def lease(self, balancer_id: str) -> str | None:
        row = tables.leases.c
        with self.store.read() as tx:
            return tx.execute(sa.select(row.owner).where(row.load_balancer_id == balancer_id)).scalar()

    def change_status(self, balancer_id: str, status: str) -> None:
        self.store.transact(
            lambda tx: changes.touch(tx, changes.lock(tx, balancer_id), provisioning_status=status)
        )

    def delete(self, balancer_id: str) -> None:
        self.change_status(balancer_id, "PENDING_DELETE")


@pytest.fixture
def stage(bench: Bench) -> Stage:
    network, compute = Hooked(bench.tools.settings), Counted(bench.tools.settings)
    tools = dataclasses.replace(bench.tools, network=network, compute=compute)
    return Stage(tools, bench.agent, Converger(tools, "me:1", LeaseKeeper(tools.store, 30)), network, compute)


# --- changes


def test_a_change_during_a_pass_that_fails_does_not_wait_for_the_back_off(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.converger.converge(balancer_id)
    stage.touch(balancer_id)

    def meanwhile() -> None:
        stage.agent.during = lambda: setattr(stage.agent, "fails", None)
        stage.touch(balancer_id)

    stage.agent.fails = Refused("nonsense")
    stage.agent.during = meanwhile
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.agent.states[-1][1].generation == 3
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def test_a_wake_up_is_no_way_around_the_back_off_and_a_change_is(stage: Stage) -> None:
    balancer_id = stage.add()
    tries = []
    stage.agent.during = lambda: tries.append(1)
    stage.agent.fails = Refused("nonsense")
    stage.converger.converge(balancer_id)
    outcome = stage.converger.converge(balancer_id)
    assert (outcome.result, len(tries)) == (Result.IDLE, 1)
    assert stage.lease(balancer_id) is None
    stage.touch(balancer_id)
    stage.converger.converge(balancer_id)
    assert len(tries) == 2


def test_a_clock_that_was_put_back_puts_no_retry_off(stage: Stage) -> None:
    balancer_id = stage.add()
    row = tables.load_balancers
    late = rows.now() + timedelta(hours=1)
    stage.store.transact(lambda tx: tx.execute(sa.update(row).values(retry_at=late)))
    assert stage.converger.converge(balancer_id).result is Result.DONE


def test_an_amphora_ahead_of_a_restored_database_is_overtaken(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    stage.touch(balancer_id)
    present = 57

    def refuse() -> None:
        wanted = stage.tree(balancer_id).load_balancer.generation
        stage.agent.fails = Outdated("has 57", present) if wanted < present else None

    stage.agent.during = refuse
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.agent.states[-1][1].generation == present + 1
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def test_an_amphora_cannot_drive_the_generation_to_its_end(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    stage.touch(balancer_id)
    stage.agent.fails = Outdated("has many", 2**62)
    assert stage.converger.converge(balancer_id).result is Result.FAILED
    assert stage.tree(balancer_id).load_balancer.generation == 2


# --- other workers


def test_a_worker_that_was_overtaken_before_it_began_builds_nothing(stage: Stage) -> None:
    network = stage.network.network(stage.network.lb_network_id)
    balancer_id = stage.add(
        vip_port_owned=True, vip_network_id=network.id, vip_subnet_id=network.subnet_ids[0]
    )
    stage.network.during = lambda: stage.overtake(balancer_id)  # while it claims the VIP
    assert stage.converger.converge(balancer_id).result is Result.FAILED
    assert len(stage.amphorae(balancer_id)) == 1
    assert len(set(stage.compute.built)) == 1
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def test_a_worker_that_was_overtaken_while_its_amphora_booted_does_not_take_the_vip(stage: Stage) -> None:
    balancer_id = stage.add()

    class Slow(Agent):
        def await_ready(self, amphora: Amphora, timeout: float) -> None:
            stage.delete(balancer_id)
            stage.overtake(balancer_id)

    slow = Slow(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=slow)
    assert mine.converge(balancer_id).result is Result.FAILED
    assert slow.states == []
    assert stage.amphorae(balancer_id) == ()


def test_a_worker_that_was_overtaken_and_fails_does_no_harm(stage: Stage) -> None:
    balancer_id = stage.add()

    class Late(Agent):
        def apply(self, amphora: Amphora, state: Any) -> Any:
            stage.overtake(balancer_id)
            raise Unreachable("nobody answers")

    mine = stage.another("me:1", amphorae=Late(stage.tools.settings, stage.tools.authority))
    assert mine.converge(balancer_id).result is Result.FAILED
    (amphora,) = stage.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.ALLOCATED
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.fault, balancer.attempts) == ("ACTIVE", None, 0)


class Thawing(Agent):
    """Stands still before it puts a state to another driver's agent; ``meanwhile`` is what others do then."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)
    agent: Agent

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return self.agent.apply(amphora, state)


def thawing(stage: Stage, meanwhile: Callable[[], None]) -> Converger:
    """A worker that freezes past its lease right before its first state goes to an amphora, and then goes on."""
    driver = Thawing(stage.tools.settings, stage.tools.authority)
    driver.meanwhile, driver.agent = meanwhile, stage.agent
    return stage.another("frozen:3", amphorae=driver)


def test_a_worker_that_thaws_before_it_puts_a_state_does_not_replace_its_successors(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    stage.touch(balancer_id)
    frozen = thawing(stage, lambda: stage.overtake(balancer_id))
    outcome = frozen.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert [state.generation for _, state in stage.agent.states] == [1, 2], "and not its own, of 2 as well"
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.fault, balancer.attempts) == ("ACTIVE", None, 0)


def test_a_worker_that_thaws_in_the_middle_of_a_build_takes_no_vip_and_reverts_nothing(stage: Stage) -> None:
    balancer_id = stage.add()
    frozen = thawing(stage, lambda: stage.overtake(balancer_id))
    assert frozen.converge(balancer_id).result is Result.FAILED
    (amphora,) = stage.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.ALLOCATED
    assert len(stage.agent.states) == 1
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def restore(stage: Stage) -> None:
    """The database is of a backup: amphorae have met later terms than it knows."""
    row = tables.leases
    stage.store.transact(lambda tx: tx.execute(sa.update(row).values(term=0)))


def test_an_amphora_of_a_later_term_than_a_restored_database_is_overtaken(stage: Stage) -> None:
    balancer_id = stage.add()
    for _ in range(3):
        stage.converger.converge(balancer_id)
        stage.touch(balancer_id)
    restore(stage)
    outcome = stage.converger.converge(balancer_id)
    assert outcome.result is Result.LATER
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.fault, balancer.attempts) == ("PENDING_UPDATE", None, 0)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.agent.states[-1][1].generation == 4
    assert stage.agent.states[-1][1].term > 3


def test_an_amphora_cannot_drive_the_term_to_its_end(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.agent.fails = Superseded("has met many", 2**62)
    outcome = stage.converger.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert stage.tree(balancer_id).load_balancer.attempts == 1
    stage.agent.fails = None
    stage.touch(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.agent.states[-1][1].term < 10


def test_of_two_amphorae_in_one_role_one_is_retired(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    (first,) = stage.amphorae(balancer_id)
    second = Amphora(
        id="a0000000-0000-4000-8000-000000000002", load_balancer_id=balancer_id, status=AmphoraStatus.ALLOCATED,
        role="STANDALONE", created_at=rows.now(),
    )  # fmt: skip
    stage.store.transact(lambda tx: amphorae.add(tx, second))
    stage.touch(balancer_id)
    stage.converger.converge(balancer_id)
    assert [amphora.id for amphora in stage.amphorae(balancer_id)] == [first.id]


# --- amphorae that boot


def test_a_refused_first_configuration_keeps_the_amphora(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.agent.fails = Refused("nonsense")
    for _ in range(4):
        assert stage.converger.converge(balancer_id).result is Result.FAILED
        stage.wait_for_retry(balancer_id)
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "ERROR"
    (amphora,) = stage.amphorae(balancer_id)
    assert set(stage.compute.built) == {amphora.id}
    stage.agent.fails = None
    stage.touch(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert [one.id for one in stage.amphorae(balancer_id)] == [amphora.id]


def test_a_pass_does_not_wait_for_a_boot(stage: Stage) -> None:
    balancer_id = stage.add()
    booting = Booting(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=booting)
    outcome = mine.converge(balancer_id)
    assert outcome.result is Result.UNDER_WAY
    assert "the next look is in 5.0 s" in outcome.sentence
    (amphora,) = stage.amphorae(balancer_id)
    assert (amphora.status, bool(amphora.compute_id)) == (AmphoraStatus.BOOTING, True)
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.attempts, balancer.retry_at, stage.lease(balancer_id)) == (0, None, None)
    assert balancer.provisioning_status == "PENDING_CREATE"
    with stage.store.read() as tx:
        assert due(tx) == []
        assert due(tx, 6) == [balancer_id]
    # Its first heartbeat wakes the load balancer, whatever the next look's moment.
    assert stage.another().converge(balancer_id).result is Result.DONE
    assert [one.id for one in stage.amphorae(balancer_id)] == [amphora.id]
    assert stage.compute.built == [amphora.id]
    assert stage.tree(balancer_id).load_balancer.look_at is None


def test_a_change_is_noticed_while_an_amphora_boots(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    booting = Booting(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=booting)
    assert mine.converge(balancer_id).result is Result.UNDER_WAY
    stage.touch(balancer_id)
    assert stage.tree(balancer_id).load_balancer.look_at is None, "a change is looked at at once"
    assert stage.another().converge(balancer_id).result is Result.DONE
    assert [state.generation for _, state in stage.agent.states] == [2]


def test_the_end_of_the_worker_does_not_wait_for_an_amphora_that_boots(stage: Stage) -> None:
    balancer_id = stage.add()
    stopping = threading.Event()
    stage.network.during = stopping.set
    assert stage.another("me:1", stopping=stopping).converge(balancer_id).result is Result.LATER
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.attempts, balancer.retry_at, stage.lease(balancer_id)) == (0, None, None)
    (amphora,) = stage.amphorae(balancer_id)
    assert stage.another().converge(balancer_id).result is Result.DONE
    assert [one.id for one in stage.amphorae(balancer_id)] == [amphora.id]


def test_a_deletion_does_not_wait_for_an_amphora_that_boots(stage: Stage) -> None:
    balancer_id = stage.add()
    booting = Booting(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=booting)
    assert mine.converge(balancer_id).result is Result.UNDER_WAY
    stage.delete(balancer_id)
    assert mine.converge(balancer_id).result is Result.DONE
    assert stage.tree(balancer_id).load_balancer.provisioning_status == "DELETED"
    assert list(stage.compute.instances()) == []
    assert [port for port in stage.network.ports() if port.owner.startswith("amphora")] == []


def test_an_instance_that_dies_while_it_boots_is_not_waited_for(stage: Stage) -> None:
    balancer_id = stage.add()
    booting = Booting(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=booting)
    assert mine.converge(balancer_id).result is Result.UNDER_WAY
    stage.compute.dead = True
    outcome = mine.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert "gone" in outcome.sentence
    (amphora,) = stage.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.ERROR


def test_an_agent_that_never_answers_is_given_up(stage: Stage) -> None:
    worker = dataclasses.replace(stage.tools.settings.controller_worker, amp_active_timeout=0.2)
    settings = dataclasses.replace(stage.tools.settings, controller_worker=worker)
    balancer_id = stage.add()
    booting = Booting(stage.tools.settings, stage.tools.authority)
    mine = stage.another("me:1", amphorae=booting, settings=settings)
    outcome = mine.converge(balancer_id)
    while outcome.result is Result.UNDER_WAY:
        time.sleep(0.05)
        outcome = mine.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert "not ready within 0.2 s" in outcome.sentence
    assert "nobody answers yet" in outcome.sentence
    (amphora,) = stage.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.ERROR


# --- each amphora by itself


def kill(stage: Stage, amphora: Amphora) -> None:
    """As the health manager does it."""
    stage.store.transact(lambda tx: amphorae.update(tx, amphora.id, status=AmphoraStatus.ERROR))
    stage.touch(amphora.load_balancer_id)


def test_one_that_is_replaced_is_cut_off_before_it_ends(stage: Stage) -> None:
    """While it ends it would refuse connections of whoever believes that it has the VIP still."""
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    (old,) = stage.amphorae(balancer_id)
    stage.store.transact(lambda tx: amphorae.request_failover(tx, load_balancer_id=balancer_id))
    stage.touch(balancer_id)
    there: list[bool] = []
    unplug = stage.network.unplug_vip

    def look(port_id: str, addresses: Iterable[str]) -> None:
        there.append(stage.compute.find(f"amphora-{old.id}") is not None)
        unplug(port_id, addresses)

    stage.network.unplug_vip = look  # type: ignore[method-assign]
    assert stage.converger.converge(balancer_id).result is Result.DONE
    (new,) = stage.amphorae(balancer_id)
    assert stage.network.vip == [("plug", new.vrrp_port_id), ("unplug", old.vrrp_port_id)]
    assert there == [True]


@pytest.mark.parametrize("way", ["fails", "unreachable"])
def test_a_dead_amphora_that_cannot_be_deleted_keeps_nobody_from_the_vip(stage: Stage, way: str) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    (dead,) = stage.amphorae(balancer_id)
    kill(stage, dead)
    if way == "fails":
        stage.compute.fails = DriverError("the host is gone")
    else:
        stage.compute.answers = Deletion.UNREACHABLE
    assert stage.converger.converge(balancer_id).result is Result.DONE
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.attempts, balancer.fault) == ("ACTIVE", 0, None)
    left, new = sorted(stage.amphorae(balancer_id), key=lambda one: one.id != dead.id)
    assert (left.status, new.status) == (AmphoraStatus.PENDING_DELETE, AmphoraStatus.ALLOCATED)
    assert stage.network.vip[:2] == [("unplug", dead.vrrp_port_id), ("plug", new.vrrp_port_id)]
    assert stage.converger.converge(balancer_id).result is Result.IDLE, (
        "its deletion is not this one's affair"
    )
    stage.touch(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert {one.id for one in stage.amphorae(balancer_id)} == {dead.id, new.id}


def test_one_that_cannot_be_fenced_keeps_the_vip_to_itself(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    (dead,) = stage.amphorae(balancer_id)
    kill(stage, dead)
    stage.compute.fails = DriverError("the host is gone")
    stage.network.unfenced = DriverError("the network service is away")
    outcome = stage.converger.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert "the network service is away" in outcome.sentence
    new = next(one for one in stage.amphorae(balancer_id) if one.id != dead.id)
    assert new.status is AmphoraStatus.BOOTING, "it is ready, and waits"
    assert ("plug", new.vrrp_port_id) not in stage.network.vip
    stage.network.unfenced = None
    stage.wait_for_retry(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert len(stage.compute.built) == 2


def test_a_left_over_that_cannot_be_deleted_fails_no_change(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.converger.converge(balancer_id)
    left = Amphora(
        id="a0000000-0000-4000-8000-000000000002", load_balancer_id=balancer_id, compute_id="c",
        status=AmphoraStatus.ERROR, role="STANDALONE", created_at=rows.now(),
    )  # fmt: skip
    stage.store.transact(lambda tx: amphorae.add(tx, left))
    stage.touch(balancer_id)
    stage.compute.fails = DriverError("the compute service is away")
    assert stage.converger.converge(balancer_id).result is Result.DONE
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.retry_at) == ("ACTIVE", None)
    assert stage.agent.states[-1][1].generation == 2


def pair(stage: Stage) -> str:
    balancer_id = stage.add(pending_pool, topology=Topology.ACTIVE_STANDBY)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    return balancer_id


@pytest.mark.parametrize("way", ["nothing to build with", "it boots for ever"])
def test_a_change_reaches_the_survivor_of_a_pair(stage: Stage, way: str) -> None:
    balancer_id = pair(stage)
    dead, survivor = stage.amphorae(balancer_id)
    kill(stage, dead)
    mine = stage.converger
    if way == "nothing to build with":
        stage.compute.full = True
    else:

        class Slow(Agent):
            def await_ready(self, amphora: Amphora, timeout: float) -> None:
                raise Unreachable("nobody answers yet")

        slow = Slow(stage.tools.settings, stage.tools.authority)
        slow.states = stage.agent.states
        mine = stage.another("me:1", amphorae=slow)
    for expected in (3, 4):
        outcome = mine.converge(balancer_id)
        assert outcome.result is Result.DONE
        assert stage.agent.states[-1][0] == survivor.id
        assert stage.agent.states[-1][1].generation == expected - 1
        balancer = stage.tree(balancer_id).load_balancer
        assert (balancer.provisioning_status, balancer.fault) == ("ACTIVE", None)
        stage.touch(balancer_id)
    mine.converge(balancer_id)
    balancer = stage.tree(balancer_id).load_balancer
    again = balancer.retry_at if way == "nothing to build with" else balancer.look_at
    assert again is not None, "the other one is still wanted"
    with stage.store.read() as tx:
        assert due(tx, (again - rows.now()).total_seconds() + 1) == [balancer_id]
    if way == "nothing to build with":
        assert "it serves with fewer amphorae: no host has room" in outcome.sentence
        assert balancer.attempts == 3, "it is tried ever less often"
    stage.compute.full = False
    stage.wait_for_retry(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    served = [
        one.status for one in stage.amphorae(balancer_id) if one.status is not AmphoraStatus.PENDING_DELETE
    ]
    assert served == [AmphoraStatus.ALLOCATED] * 2
    balancer = stage.tree(balancer_id).load_balancer
    assert (balancer.retry_at, balancer.look_at, balancer.attempts) == (None, None, 0)


def test_one_of_a_pair_that_does_not_answer_keeps_no_change_from_the_other(stage: Stage) -> None:
    balancer_id = pair(stage)
    mute, other = stage.amphorae(balancer_id)
    apply = stage.agent.apply

    def one_is_mute(amphora: Amphora, state: Any) -> Any:
        if amphora.id == mute.id:
            raise Unreachable("nobody answers")
        return apply(amphora, state)

    stage.agent.apply = one_is_mute  # type: ignore[method-assign]
    stage.touch(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    behind = {one.id: one.applied_generation for one in stage.amphorae(balancer_id)}
    assert behind == {mute.id: 1, other.id: 2}
    stage.agent.apply = apply  # type: ignore[method-assign]
    stage.wait_for_retry(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert {one.applied_generation for one in stage.amphorae(balancer_id)} == {2}


def test_pairs_share_the_threads_of_their_worker(stage: Stage) -> None:
    balancer_id = pair(stage)

    def threads() -> set[int | None]:
        return {thread.ident for thread in threading.enumerate() if thread.name.startswith("amphora_")}

    used: set[int] = set()
    stage.agent.during = lambda: used.add(threading.get_ident())
    for _ in range(5):
        stage.touch(balancer_id)
        assert stage.converger.converge(balancer_id).result is Result.DONE
    assert used
    assert used <= threads(), "they are there afterwards, for the next pass"
    assert len(used) <= 2 * stage.tools.settings.controller_worker.workers


def test_a_change_asks_the_network_service_nothing(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.converger.converge(balancer_id)
    assert "port" not in stage.network.asked, "it has just made them"
    stage.network.asked.clear()
    stage.touch(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.network.asked == []
    row = tables.amphora_ports
    stage.store.transact(lambda tx: tx.execute(sa.delete(row)))  # as an earlier release has left it
    for expected in (True, False):
        stage.network.asked.clear()
        stage.touch(balancer_id)
        assert stage.converger.converge(balancer_id).result is Result.DONE
        assert bool(stage.network.asked) is expected, "asked once, and then known"


def test_security_groups_are_set_where_they_have_changed(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.converger.converge(balancer_id)
    stage.network.asked.clear()
    row = tables.load_balancers
    stage.store.transact(lambda tx: tx.execute(sa.update(row).values(vip_qos_policy_id="gold")))
    for expected in (["guard_port"], []):
        stage.touch(balancer_id)
        assert stage.converger.converge(balancer_id).result is Result.DONE
        assert stage.network.asked == expected
        stage.network.asked.clear()


# --- deletions


def collect(stage: Stage, balancer_id: str) -> list[Amphora]:
    """As if the next try of all deletions were due; what is left then."""
    row = tables.amphorae
    due = sa.update(row).where(row.c.collect_at.is_not(None)).values(collect_at=rows.now())
    stage.store.transact(lambda tx: tx.execute(due))
    Collector(stage.tools, 1.0).look()
    return list(stage.amphorae(balancer_id))


def test_a_load_balancer_is_deleted_though_its_amphora_cannot_be_yet(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool, vip_port_owned=True, vip_port_id="vip")
    stage.converger.converge(balancer_id)
    (amphora,) = stage.amphorae(balancer_id)
    stage.delete(balancer_id)
    stage.compute.fails = DriverError("the compute service is away")
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.network.vip[-1] == ("unplug", amphora.vrrp_port_id)
    assert stage.tree(balancer_id).load_balancer.provisioning_status is ProvisioningStatus.DELETED
    for attempts in (2, 3):
        (left,) = collect(stage, balancer_id)
        assert (left.status, left.collect_attempts) == (AmphoraStatus.PENDING_DELETE, attempts)
        assert left.collect_at is not None
        assert left.collect_at > rows.now()
    (told,) = controllers.undeleted(stage.store)
    assert told.startswith(
        f"Amphora {amphora.id} (instance {amphora.compute_id}) of load balancer {balancer_id}"
    )
    assert "is cut off but not deleted after 3 tries" in told
    stage.compute.fails, stage.compute.answers = None, Deletion.UNDER_WAY
    assert len(collect(stage, balancer_id)) == 1
    stage.compute.answers = Deletion.GONE
    assert collect(stage, balancer_id) == []
    assert controllers.undeleted(stage.store) == []
    assert list(stage.compute.instances()) == []
    assert [port for port in stage.network.ports() if port.owner.startswith("amphora")] == []


def test_nothing_ends_the_collectors_looks(stage: Stage) -> None:
    stopping, looks = threading.Event(), threading.Semaphore(0)
    collector = Collector(dataclasses.replace(stage.tools, stopping=stopping), 0.01)

    def broken() -> int:
        looks.release()
        raise RuntimeError("a mistake")

    collector.look = broken  # type: ignore[method-assign]
    collector.start()
    assert all(looks.acquire(timeout=20) for _ in range(3))
    stopping.set()
    collector.stop()


def test_two_workers_do_not_delete_the_same_amphora(stage: Stage) -> None:
    balancer_id = stage.add()
    stage.converger.converge(balancer_id)
    stage.delete(balancer_id)
    stage.compute.answers = Deletion.UNDER_WAY
    stage.converger.converge(balancer_id)
    row = tables.amphorae
    stage.store.transact(lambda tx: tx.execute(sa.update(row).values(collect_at=rows.now())))
    hold = timedelta(minutes=1)
    first = stage.store.transact(lambda tx: collection.claim(tx, rows.now(), hold, 5))
    second = stage.store.transact(lambda tx: collection.claim(tx, rows.now(), hold, 5))
    assert (len(first), len(second)) == (1, 0)


def test_a_vip_that_cannot_be_taken_from_its_amphora_is_not_released(stage: Stage) -> None:
    port = stage.network.create_port(stage.network.lb_network_id, name="vip", owner="somebody")
    balancer_id = stage.add(vip_port_owned=True, vip_port_id=port.id)
    stage.converger.converge(balancer_id)
    stage.delete(balancer_id)
    stage.compute.fails = DriverError("the compute service is away")
    stage.network.unfenced = DriverError("the network service is away")
    for attempt in range(1, 4):
        assert stage.converger.converge(balancer_id).result is Result.FAILED
        balancer = stage.tree(balancer_id).load_balancer
        assert balancer.provisioning_status is ProvisioningStatus.PENDING_DELETE
        assert balancer.attempts == attempt
        assert port.id in {one.id for one in stage.network.ports()}
        stage.wait_for_retry(balancer_id)
        with stage.store.read() as tx:
            assert due(tx) == [balancer_id]
    stage.network.unfenced = None
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert port.id not in {one.id for one in stage.network.ports()}


@pytest.mark.parametrize("owned", [True, False])
def test_the_port_of_the_vip_goes_unless_it_is_the_users_own(stage: Stage, *, owned: bool) -> None:
    port = stage.network.create_port(stage.network.lb_network_id, name="vip", owner="somebody")
    balancer_id = stage.add(vip_port_owned=owned, vip_port_id=port.id)
    stage.converger.converge(balancer_id)
    stage.delete(balancer_id)
    stage.converger.converge(balancer_id)
    assert (port.id in {one.id for one in stage.network.ports()}) is not owned


def test_a_load_balancer_whose_amphora_is_gone_can_be_deleted(stage: Stage) -> None:
    balancer_id = stage.add(pending_pool)
    stage.converger.converge(balancer_id)
    for instance in stage.compute.instances():
        stage.compute.delete(instance.compute_id)
    stage.delete(balancer_id)
    assert stage.converger.converge(balancer_id).result is Result.DONE
    assert stage.amphorae(balancer_id) == ()


# --- the database


def test_a_lease_that_could_not_be_given_back_is_given_back_later(stage: Stage) -> None:
    balancer_id = stage.add()
    store: Any = stage.store
    keeper = LeaseKeeper(store, 30)
    mine = Converger(stage.tools, "me:1", keeper)
    lease = store.transact(lambda tx: leases.acquire(tx, balancer_id, "me:1", moment=time.time(), seconds=30))
    assert lease is not None
    with pytest.raises(Unavailable), keeper.keep(lease):
        raise Unavailable("the database does not answer")
    assert stage.lease(balancer_id) == "me:1"
    keeper.give_back()
    assert stage.lease(balancer_id) is None
    assert mine.converge(balancer_id).result is Result.DONE
    keeper.give_back()


def test_a_lease_that_somebody_else_has_is_not_given_back(stage: Stage) -> None:
    balancer_id = stage.add()
    keeper = LeaseKeeper(stage.store, 30)

    def acquire(owner: str) -> leases.Lease:
        found = stage.store.transact(
            lambda tx: leases.acquire(tx, balancer_id, owner, moment=time.time(), seconds=30)
        )
        assert found is not None
        return found

    with pytest.raises(Unavailable), keeper.keep(acquire("me:1")):
        raise Unavailable("the database does not answer")
    stage.steal(balancer_id)
    acquire("other:2")
    keeper.give_back()
    assert stage.lease(balancer_id) == "other:2"


def test_a_lease_that_its_pass_has_just_given_back_is_not_said_to_be_over(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    balancer_id = stage.add()
    keeper = LeaseKeeper(stage.store, 30)
    found = stage.store.transact(
        lambda tx: leases.acquire(tx, balancer_id, "me:1", moment=time.time(), seconds=30)
    )
    assert found is not None
    with keeper.keep(found):
        stage.store.transact(lambda tx: leases.confirm(tx, found, release=True))
        assert keeper.renew()
        assert "is over before its pass" not in caplog.text
        assert keeper.renew()  # and its pass goes on
        assert "is over before its pass" in caplog.text


def test_a_lease_is_kept_while_its_pass_waits_for_a_thread(stage: Stage) -> None:
    balancer_id = stage.add()
    keeper = LeaseKeeper(stage.store, 30)
    began = time.time() - 29
    found = stage.store.transact(lambda tx: leases.acquire(tx, balancer_id, "me:1", moment=began, seconds=30))
    assert found is not None
    keeper.hold([found])
    assert keeper.renew()
    with stage.store.read() as tx:
        assert tx.execute(sa.select(tables.leases.c.expires_at)).scalar_one() > began + 50
    with keeper.keep(found):
        pass
    stage.steal(balancer_id)
    assert keeper.renew()
    with stage.store.read() as tx:
        assert tx.execute(sa.select(tables.leases.c.expires_at)).scalar_one() == 1.0, "its pass is over"


def test_long_passes_keep_their_lease(stage: Stage) -> None:
    balancer_id = stage.add()
    keeper = LeaseKeeper(stage.store, 0.3)
    keeper.start()
    mine = Converger(stage.tools, "me:1", keeper)
    mine._settings = dataclasses.replace(mine._settings, lease_seconds=0.3)
    stage.agent.during = lambda: time.sleep(1.0)
    assert mine.converge(balancer_id).result is Result.DONE
    keeper.stop()
