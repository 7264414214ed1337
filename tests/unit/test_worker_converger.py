"""Passes over load balancers, with real rows and drivers that do nothing."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from hydria import settings as settings_module
from hydria.dataplane import Tuning
from hydria.drivers.amphora.noop import NoopAmphoraDriver
from hydria.drivers.certificates.local_ca import LocalCertificateAuthority
from hydria.drivers.certificates.noop_manager import NoopCertificateManager
from hydria.drivers.compute.interface import AmphoraSpec, Instance, Selection
from hydria.drivers.compute.noop import NoopComputeDriver
from hydria.drivers.network.noop import NoopNetworkDriver
from hydria.model.amphora import Amphora
from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.errors import DriverError, HydriaError, Refused, Unavailable, Unreachable
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool, SessionPersistence
from hydria.model.statuses import AmphoraStatus, PersistenceType
from hydria.model.tree import Tree
from hydria.store import Store, amphorae, backlog, changes, leases, rows, tables, trees
from hydria.testing import trees as make
from hydria.wire import capabilities
from hydria.wire.capabilities import Capabilities, Capability
from hydria.wire.state import Applied, DesiredState
from hydria.worker.converger import Converger, Result
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.tools import Tools
from tests.databases import new_store


class Agent(NoopAmphoraDriver):
    """Remembers the states it was given; ``fails`` is raised instead, ``during`` runs in the middle."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.states: list[tuple[str, DesiredState]] = []
        self.fails: HydriaError | None = None
        self.able = capabilities.NONE
        self.during: Callable[[], None] = lambda: None

    def capabilities(self, amphora: Amphora) -> Capabilities:
        return self.able

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        self.during()
        if self.fails:
            raise self.fails
        applied = super().apply(amphora, state)
        self.states.append((amphora.id, state))
        return applied


@dataclasses.dataclass
class Bench:
    tools: Tools
    agent: Agent
    converger: Converger

    @property
    def store(self) -> Store:
        return self.tools.store

    def add(self, *children: Any, **changes_: Any) -> str:
        """A load balancer as the API leaves it, with its VIP allocated."""
        balancer = make.load_balancer(
            provisioning_status="PENDING_CREATE", operating_status="OFFLINE", generation=1, applied_generation=0,
            **changes_,
        )  # fmt: skip
        self.store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
        for child in children:
            self.store.transact(lambda tx, child=child: rows.insert(tx, [child(balancer.id)]))
        return str(balancer.id)

    def touch(self, balancer_id: str) -> None:
        self.store.transact(lambda tx: changes.touch(tx, changes.lock(tx, balancer_id)))

    def wait_for_retry(self, balancer_id: str) -> None:
        """As if the back-off were over."""
        row = tables.load_balancers
        self.store.transact(
            lambda tx: tx.execute(sa.update(row).where(row.c.id == balancer_id).values(retry_at=rows.now()))
        )

    def tree(self, balancer_id: str) -> Tree:
        with self.store.read() as tx:
            found = trees.load_tree(tx, balancer_id)
        assert found is not None
        return found

    def amphorae(self, balancer_id: str) -> tuple[Amphora, ...]:
        with self.store.read() as tx:
            return trees.load_amphorae(tx, balancer_id)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    settings = settings_module.load(overrides={"DEFAULT": {"state_dir": str(tmp_path)}})
    store = new_store(tmp_path)
    authority = LocalCertificateAuthority(settings)
    agent = Agent(settings, authority)
    tools = Tools(
        settings, store, NoopNetworkDriver(settings), NoopComputeDriver(settings), agent, authority,
        NoopCertificateManager(settings), Tuning(), ("127.0.0.1:5555",), "secret",
    )  # fmt: skip
    return Bench(tools, agent, Converger(tools, "me:1", LeaseKeeper(store, 30)))


def due(tx: sa.Connection, ahead: float = 0.0) -> list[str]:
    """What a worker would find, so many seconds from now."""
    return [each.load_balancer_id for each in backlog.due(tx, time.time() + ahead, 10)]


def pending_pool(balancer_id: str) -> Pool:
    return make.pool(load_balancer_id=balancer_id, provisioning_status="PENDING_CREATE", generation=1)


def test_a_new_load_balancer_gets_its_amphora_and_becomes_active(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    outcome = bench.converger.converge(balancer_id)
    assert outcome.result is Result.DONE
    assert "create" in outcome.sentence
    tree = bench.tree(balancer_id)
    assert tree.load_balancer.provisioning_status == "ACTIVE"
    assert tree.load_balancer.applied_generation == 1
    assert [pool.provisioning_status for pool in tree.pools] == ["ACTIVE"]
    (amphora,) = bench.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.ALLOCATED
    assert amphora.applied_generation == 1
    assert amphora.compute_id
    assert [(name, state.generation) for name, state in bench.agent.states] == [(amphora.id, 1)]


def test_nothing_is_due_afterwards_and_the_lease_is_free(bench: Bench) -> None:
    balancer_id = bench.add()
    with bench.store.read() as tx:
        assert due(tx) == [balancer_id]
    bench.converger.converge(balancer_id)
    with bench.store.read() as tx:
        assert due(tx) == []
        assert tx.execute(sa.select(tables.leases.c.owner)).scalar() is None


def test_a_change_during_a_pass_is_applied_by_the_same_visit(bench: Bench) -> None:
    balancer_id = bench.add()

    def meanwhile() -> None:
        bench.agent.during = lambda: None
        bench.touch(balancer_id)

    bench.agent.during = meanwhile
    assert bench.converger.converge(balancer_id).result is Result.DONE
    assert [state.generation for _, state in bench.agent.states] == [1, 2]
    assert bench.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def test_a_state_is_rendered_for_what_its_amphora_can_do_now(bench: Bench) -> None:
    sticky = SessionPersistence(type=PersistenceType.HTTP_COOKIE)
    balancer_id = bench.add(
        lambda owner: make.pool(load_balancer_id=owner, session_persistence=sticky),
        lambda owner: make.listener(load_balancer_id=owner, default_pool_id=make.POOL),
    )
    for able in (capabilities.NONE, frozenset([Capability.SERVER_COOKIES]), capabilities.NONE):
        bench.agent.able = able
        bench.touch(balancer_id)
        assert bench.converger.converge(balancer_id).result is Result.DONE
        native = "cookie SRV insert" in bench.agent.states[-1][1].haproxy
        assert native == (able != capabilities.NONE)


def test_an_object_that_changed_during_the_pass_stays_pending_until_it_is_applied(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    tree = bench.tree(balancer_id)
    bench.touch(balancer_id)
    bench.store.transact(lambda tx: changes.touch_objects(tx, Pool, [tree.pools[0].id], 2))
    bench.store.transact(lambda tx: changes.update_object(tx, tree.pools[0], {"name": "new"}, 2))
    bench.store.transact(lambda tx: trees.mark_applied(tx, tree, 1))
    after = bench.tree(balancer_id)
    assert after.pools[0].provisioning_status.pending
    assert after.load_balancer.provisioning_status.pending


def test_a_refused_state_is_an_error_with_its_reason_and_the_next_change_clears_it(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    bench.converger.converge(balancer_id)
    bench.touch(balancer_id)
    bench.agent.fails = Refused("[ALERT] unknown keyword 'nonsense'")
    assert bench.converger.converge(balancer_id).result is Result.FAILED
    balancer = bench.tree(balancer_id).load_balancer
    assert balancer.provisioning_status == "ERROR"
    assert balancer.fault is not None
    assert "nonsense" in balancer.fault
    assert balancer.retry_at is not None
    assert balancer.fault_since is not None
    bench.wait_for_retry(balancer_id)
    bench.converger.converge(balancer_id)
    assert bench.tree(balancer_id).load_balancer.fault_since == balancer.fault_since, "since it first failed"
    bench.agent.fails = None
    bench.touch(balancer_id)
    assert bench.tree(balancer_id).load_balancer.provisioning_status == "PENDING_UPDATE"
    assert bench.converger.converge(balancer_id).result is Result.DONE
    balancer = bench.tree(balancer_id).load_balancer
    assert (balancer.provisioning_status, balancer.fault, balancer.attempts) == ("ACTIVE", None, 0)
    assert balancer.fault_since is None


def test_what_has_failed_below_a_load_balancer_has_the_reason_too(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    bench.agent.fails = Refused("Amphora a refused generation 1: [/var/lib/hydria/haproxy.cfg:3] : nonsense")
    bench.converger.converge(balancer_id)
    tree = bench.tree(balancer_id)
    for item in (tree.load_balancer, *tree.pools):
        assert item.provisioning_status == "ERROR"
        assert item.fault == "Amphora a refused generation 1: [haproxy.cfg:3] : nonsense"
        assert item.fault_since is not None
    bench.agent.fails = None
    bench.wait_for_retry(balancer_id)
    assert bench.converger.converge(balancer_id).result is Result.DONE
    (pool,) = bench.tree(balancer_id).pools
    assert (pool.provisioning_status, pool.fault, pool.fault_since) == ("ACTIVE", None, None)


def test_a_pass_can_be_found_by_the_request_that_asked_for_it(bench: Bench) -> None:
    balancer_id = bench.add(request_id="req-1")
    assert "create of generation 1 (req-1) in" in bench.converger.converge(balancer_id).sentence
    bench.touch(balancer_id)
    assert "configure of generation 2 in" in bench.converger.converge(balancer_id).sentence, "by no request"


def test_a_fault_that_may_pass_is_shown_once_it_has_repeated(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.agent.fails = Unreachable("nobody answers")
    seen = []
    for _ in range(3):
        bench.converger.converge(balancer_id)
        seen.append(str(bench.tree(balancer_id).load_balancer.provisioning_status))
        retry_at = bench.tree(balancer_id).load_balancer.retry_at
        bench.wait_for_retry(balancer_id)
    assert retry_at is not None
    assert retry_at > rows.now()
    assert seen == ["PENDING_CREATE", "PENDING_CREATE", "ERROR"]
    with bench.store.read() as tx:
        assert due(tx, -1.0) == []
        assert due(tx) == [balancer_id]


def request_failover(bench: Bench, balancer_id: str) -> None:
    bench.store.transact(lambda tx: amphorae.request_failover(tx, load_balancer_id=balancer_id))
    bench.touch(balancer_id)


def test_failover_puts_another_amphora_in_the_place_of_one_that_serves(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (old,) = bench.amphorae(balancer_id)
    request_failover(bench, balancer_id)
    there: list[set[str]] = []
    bench.agent.during = lambda: there.append({each.name for each in bench.tools.compute.instances()})
    outcome = bench.converger.converge(balancer_id)
    assert outcome.result is Result.DONE
    assert "replace" in outcome.sentence
    assert "1 of its amphorae are to be replaced" in outcome.sentence
    (new,) = bench.amphorae(balancer_id)
    assert new.id != old.id
    assert (new.status, new.failover_requested) == (AmphoraStatus.ALLOCATED, False)
    assert there == [{f"amphora-{old.id}", f"amphora-{new.id}"}] * 2, "the old one is there for so long"
    prepared, serving = [state for name, state in bench.agent.states if name == new.id]
    assert prepared.haproxy == serving.haproxy
    assert [interface.vips for interface in prepared.interfaces] == [()]
    assert [bool(interface.vips) for interface in serving.interfaces] == [True]
    assert [each.name for each in bench.tools.compute.instances()] == [f"amphora-{new.id}"]
    assert bench.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"
    assert bench.converger.converge(balancer_id).result is Result.IDLE


def test_one_that_cannot_be_replaced_yet_goes_on_serving_what_is_wanted(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (old,) = bench.amphorae(balancer_id)
    bench.agent.states.clear()
    request_failover(bench, balancer_id)

    def refuse_the_new_one() -> None:
        bench.agent.fails = Unreachable("nobody answers")

    bench.agent.during = refuse_the_new_one
    assert bench.converger.converge(balancer_id).result is Result.FAILED
    assert [one.id for one in bench.amphorae(balancer_id) if one.status is AmphoraStatus.ALLOCATED] == [
        old.id
    ]
    bench.agent.during = lambda: None
    bench.agent.fails = None
    bench.touch(balancer_id)
    assert bench.converger.converge(balancer_id).result is Result.DONE
    (new,) = bench.amphorae(balancer_id)
    assert [name for name, _ in bench.agent.states] == [old.id, new.id, new.id]
    assert [each.name for each in bench.tools.compute.instances()] == [f"amphora-{new.id}"]


def test_a_dead_one_that_is_to_be_replaced_keeps_nobody_waiting(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (old,) = bench.amphorae(balancer_id)
    request_failover(bench, balancer_id)
    row = tables.load_balancers
    bench.store.transact(lambda tx: tx.execute(sa.update(row).values(attempts=1)))
    apply = bench.agent.apply

    def only_new(amphora: Amphora, state: DesiredState) -> Applied:
        if amphora.id == old.id:
            raise Unreachable("it is dead")
        return apply(amphora, state)

    bench.agent.apply = only_new  # type: ignore[method-assign]  # the old one alone is dead
    assert bench.converger.converge(balancer_id).result is Result.DONE
    assert [one.id for one in bench.amphorae(balancer_id)] != [old.id]


def test_what_a_failed_build_left_is_retired(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.agent.fails = Unreachable("nobody answers")
    bench.converger.converge(balancer_id)
    (broken,) = bench.amphorae(balancer_id)
    assert broken.status is AmphoraStatus.ERROR
    bench.agent.fails = None
    bench.wait_for_retry(balancer_id)
    bench.converger.converge(balancer_id)
    (amphora,) = bench.amphorae(balancer_id)
    assert amphora.id != broken.id
    with bench.store.read() as tx:
        kept = rows.load_one(tx, Amphora, broken.id)
    assert kept is not None
    assert kept.status is AmphoraStatus.DELETED


def test_an_interrupted_build_is_resumed_with_the_same_amphora(bench: Bench) -> None:
    balancer_id = bench.add()
    booting = Amphora(
        id="b0071111-1111-4111-8111-111111111111", load_balancer_id=balancer_id, status=AmphoraStatus.BOOTING,
        role="STANDALONE", created_at=rows.now(),
    )  # fmt: skip
    bench.store.transact(lambda tx: amphorae.add(tx, booting))
    bench.converger.converge(balancer_id)
    assert [amphora.id for amphora in bench.amphorae(balancer_id)] == [booting.id]


def test_a_pass_whose_end_was_never_written_is_done_again_with_the_same_amphora(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    balancer_id = bench.add()

    def gone(*_arguments: object, **_named: object) -> NoReturn:
        raise Unavailable("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(Converger, "_record", gone)
        assert bench.converger.converge(balancer_id).result is Result.FAILED
    (half,) = bench.amphorae(balancer_id)
    assert (half.status, half.compute_id) == (AmphoraStatus.BOOTING, None)
    bench.store.transact(lambda tx: tx.execute(sa.update(tables.leases).values(owner=None)))
    assert bench.converger.converge(balancer_id).result is Result.DONE
    (amphora,) = bench.amphorae(balancer_id)
    assert (amphora.id, amphora.status) == (half.id, AmphoraStatus.ALLOCATED)
    assert [instance.compute_id for instance in bench.tools.compute.instances()] == [amphora.compute_id]


@pytest.mark.parametrize("way", ["refused", "interrupted"])
def test_what_a_pass_achieved_before_it_broke_off_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    balancer_id = bench.add()
    if way == "refused":
        bench.agent.fails = Refused("nonsense")
    else:
        monkeypatch.setattr(bench.agent, "await_ready", lambda *_: bench.tools.stopping.set())
    outcome = bench.converger.converge(balancer_id)
    assert outcome.result is (Result.FAILED if way == "refused" else Result.LATER)
    (amphora,) = bench.amphorae(balancer_id)
    assert amphora.status is AmphoraStatus.BOOTING
    assert amphora.compute_id
    with bench.store.read() as tx:
        assert tx.execute(sa.select(tables.leases.c.owner)).scalar() is None


def test_a_dead_amphora_is_replaced_by_one_that_has_the_state_before_it_counts(bench: Bench) -> None:
    balancer_id = bench.add()
    bench.converger.converge(balancer_id)
    (dead,) = bench.amphorae(balancer_id)
    bench.store.transact(lambda tx: amphorae.update(tx, dead.id, status=AmphoraStatus.ERROR))
    bench.touch(balancer_id)
    outcome = bench.converger.converge(balancer_id)
    assert "replace" in outcome.sentence
    (living,) = bench.amphorae(balancer_id)
    assert living.id != dead.id
    assert bench.tree(balancer_id).load_balancer.provisioning_status == "ACTIVE"


def test_deletion_removes_everything_and_keeps_the_row(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    bench.converger.converge(balancer_id)
    balancer = bench.tree(balancer_id).load_balancer
    bench.store.transact(lambda tx: changes.touch(tx, balancer, provisioning_status="PENDING_DELETE"))
    assert bench.converger.converge(balancer_id).result is Result.DONE
    tree = bench.tree(balancer_id)
    assert tree.load_balancer.provisioning_status == "DELETED"
    assert list(tree.children()) == []
    assert bench.amphorae(balancer_id) == ()


def test_one_of_many_workers_converges(bench: Bench) -> None:
    balancer_id = bench.add()
    results: list[Result] = []
    convergers = [Converger(bench.tools, f"host:{n}", LeaseKeeper(bench.store, 30)) for n in range(8)]
    threads = [
        threading.Thread(target=lambda one=one: results.append(one.converge(balancer_id).result))
        for one in convergers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Result.DONE in results
    assert len({name for name, _ in bench.agent.states}) == 1
    assert len(bench.amphorae(balancer_id)) == 1


def test_a_worker_that_lost_its_lease_writes_nothing(bench: Bench) -> None:
    balancer_id = bench.add()

    def stolen() -> None:
        later = time.time() + 100
        stole = bench.store.transact(
            lambda tx: leases.acquire(tx, balancer_id, "thief:2", moment=later, seconds=1000)
        )
        assert stole is not None

    bench.agent.during = stolen
    outcome = bench.converger.converge(balancer_id)
    assert outcome.result is Result.FAILED
    assert bench.tree(balancer_id).load_balancer.provisioning_status == "PENDING_CREATE"


def test_a_pool_without_its_member_is_not_touched(bench: Bench) -> None:
    balancer_id = bench.add(pending_pool)
    bench.converger.converge(balancer_id)
    pool = bench.tree(balancer_id).pools[0]
    bench.touch(balancer_id)
    member = make.member(
        load_balancer_id=balancer_id, pool_id=pool.id, provisioning_status="PENDING_CREATE", generation=2
    )
    bench.store.transact(lambda tx: rows.insert(tx, [member]))
    bench.converger.converge(balancer_id)
    with bench.store.read() as tx:
        found = rows.load_one(tx, Member, member.id)
        balancer = rows.load_one(tx, LoadBalancer, balancer_id)
    assert found is not None
    assert balancer is not None
    assert found.provisioning_status == "ACTIVE"
    assert balancer.applied_generation == 2


class Builder(NoopComputeDriver):
    """Remembers what it was ordered."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.specs: list[AmphoraSpec] = []

    def order(self, spec: AmphoraSpec) -> Instance:
        self.specs.append(spec)
        return super().order(spec)


class Late(NoopComputeDriver):
    """Is not there yet when the worker starts."""

    def prepare(self) -> None:
        raise DriverError("nobody answers.")


def test_a_compute_service_that_is_not_ready_at_the_start_is_no_obstacle(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    tools = dataclasses.replace(bench.tools, compute=Late(bench.tools.settings))
    converger = Converger(tools, "me:1", LeaseKeeper(bench.store, 30))
    converger.warm_up()
    assert "The compute driver is not ready to build yet: nobody answers." in caplog.text
    assert converger.converge(bench.add()).result is Result.DONE


@pytest.mark.parametrize("choosing", [True, False])
def test_an_amphora_is_as_its_flavor_and_zone_say(bench: Bench, choosing: bool) -> None:
    builder = Builder(bench.tools.settings)
    bench.converger = Converger(
        dataclasses.replace(bench.tools, compute=builder), "me:1", LeaseKeeper(bench.store, 30)
    )
    management = "5d0ed0a6-6d0c-4f6f-a0a8-2f9d5c1f7a11"
    chosen: dict[str, Any] = {}
    if choosing:
        said = {"compute_flavor": "small", "amp_image_tag": "new", "sriov_vip": False}
        placed = {"compute_zone": "west", "management_network": management}
        profiles = FlavorProfile(id="p", name="", provider_name="amphora", flavor_data=json.dumps(said))
        zones = AvailabilityZoneProfile(
            id="q", name="", provider_name="amphora", availability_zone_data=json.dumps(placed)
        )
        offers = (
            profiles, Flavor(id="f", name="gold", flavor_profile_id="p"), zones,
            AvailabilityZone(name="z", availability_zone_profile_id="q"),
        )  # fmt: skip
        for item in offers:
            bench.store.transact(lambda tx, item=item: rows.insert(tx, [item]))
        chosen = {"flavor_id": "f", "availability_zone": "z"}
    balancer_id = bench.add(**chosen)
    assert bench.converger.converge(balancer_id).result is Result.DONE
    (spec,) = builder.specs
    (amphora,) = bench.amphorae(balancer_id)
    network_id = spec.lb_network.port.network_id
    if choosing:
        assert spec.selection == Selection("small", "new", "west")
        assert (amphora.compute_flavor, amphora.cached_zone, network_id) == ("small", "west", management)
    else:
        assert spec.selection == Selection()
        assert (amphora.compute_flavor, amphora.cached_zone) == (None, None)
        assert network_id == bench.tools.network.lb_network_id
