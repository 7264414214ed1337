"""Whom the health manager declares dead, and whom it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.health_manager.watch import Watch
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraStatus
from hydria.settings import HealthManagerSettings
from hydria.store import Store, amphorae, changes, rows, tables, trees
from hydria.testing import trees as make
from hydria.wire.capabilities import NONE, Capabilities
from hydria.wire.state import Applied, DesiredState
from tests.databases import new_store


class Agents:
    """Answers for the amphorae named in ``living``."""

    def __init__(self) -> None:
        self.living: set[str] = set()

    def alive(self, amphora: Amphora) -> bool:
        return amphora.id in self.living

    def await_ready(self, amphora: Amphora, timeout: float) -> None: ...

    def capabilities(self, amphora: Amphora) -> Capabilities:
        return NONE

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        return Applied(state.generation)


class Woken(LocalWakeups):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def wake(self, load_balancer_id: str) -> None:
        self.ids.append(load_balancer_id)


class Scene:
    def __init__(self, store: Store, **settings: object) -> None:
        self.store = store
        self.agents = Agents()
        self.woken = Woken()
        defaults: dict[str, object] = {"heartbeat_timeout": 5.0, "health_check_interval": 60.0}
        self.settings = HealthManagerSettings(**(defaults | settings))
        self.watch = Watch(store, self.agents, self.woken, self.settings)
        self.watch._trusted_from = 0.0  # as long after the start as it takes

    def amphora(self, number: int, *, silent: float) -> str:
        """An amphora that serves a load balancer of its own and was heard of ``silent`` seconds ago."""
        balancer = make.load_balancer(
            number, generation=3, applied_generation=3, provisioning_status="ACTIVE"
        )
        amphora = Amphora(
            id=f"a0000000-0000-4000-8000-{number:012x}",
            load_balancer_id=balancer.id,
            status=AmphoraStatus.ALLOCATED,
            role="STANDALONE",
            applied_generation=3,
            created_at=rows.now(),
        )
        self.store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
        self.store.transact(lambda tx: amphorae.add(tx, amphora))
        self.store.transact(lambda tx: amphorae.watch(tx, amphora.id, time.time() - silent))
        return amphora.id

    def status(self, number: int) -> tuple[str, str]:
        balancer_id = make.load_balancer(number).id
        with self.store.read() as tx:
            tree = trees.load_tree(tx, balancer_id)
            (amphora,) = trees.load_amphorae(tx, balancer_id)
        assert tree is not None
        return str(amphora.status), str(tree.load_balancer.provisioning_status)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = new_store(tmp_path)
    yield made
    made.close()


def test_a_silent_amphora_that_does_not_answer_is_given_up(store: Store) -> None:
    scene = Scene(store)
    dead = scene.amphora(1, silent=60)
    scene.amphora(2, silent=1)
    verdict = scene.watch.look()
    assert verdict.dead == (dead,)
    assert dead in verdict.sentence
    assert scene.status(1) == ("ERROR", "PENDING_UPDATE")
    assert scene.status(2) == ("ALLOCATED", "ACTIVE")
    assert scene.woken.ids == [make.load_balancer(1).id]
    assert scene.watch.look().dead == (), "it is declared dead once"


def served(store: Store, number: int = 1) -> str:
    """A load balancer of the scene gets a listener, a pool and a member, all ONLINE; its id."""
    balancer_id = str(make.load_balancer(number).id)
    for item in (make.listener(default_pool_id=make.POOL), make.pool(), make.member()):
        store.transact(lambda tx, item=item: rows.insert(tx, [item]))
    return balancer_id


def operating(store: Store, balancer_id: str) -> dict[str, str]:
    with store.read() as tx:
        tree = trees.load_tree(tx, balancer_id)
    assert tree is not None
    return {
        type(item).__name__: str(item.operating_status) for item in (tree.load_balancer, *tree.children())
    }


def test_while_nobody_serves_nothing_is_online(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    balancer_id = served(store)
    assert set(operating(store, balancer_id).values()) == {"ONLINE"}
    scene.watch.look()
    assert operating(store, balancer_id) == {
        "LoadBalancer": "ERROR", "Listener": "ERROR", "Pool": "OFFLINE", "Member": "OFFLINE",
    }  # fmt: skip


def test_as_long_as_another_serves_it_is_the_one_that_is_believed(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    balancer_id = served(store)
    other = Amphora(
        id="b0000000-0000-4000-8000-000000000002", load_balancer_id=balancer_id,
        status=AmphoraStatus.ALLOCATED, role="BACKUP", applied_generation=3, created_at=rows.now(),
    )  # fmt: skip
    store.transact(lambda tx: amphorae.add(tx, other))
    assert len(scene.watch.look().dead) == 1
    assert set(operating(store, balancer_id).values()) == {"ONLINE"}


def test_a_silent_amphora_that_answers_is_left_alone(store: Store) -> None:
    scene = Scene(store)
    scene.agents.living.add(scene.amphora(1, silent=60))
    verdict = scene.watch.look()
    assert verdict.dead == ()
    assert "1 of them answer" in verdict.sentence
    assert scene.status(1) == ("ALLOCATED", "ACTIVE")


def test_nobody_is_judged_before_everybody_could_be_heard(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.watch = Watch(store, scene.agents, scene.woken, scene.settings)
    assert scene.watch.look().dead == ()


def test_nobody_is_judged_after_this_program_stood_still(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.watch._last_pass = time.monotonic() - 600
    assert scene.watch.look().dead == ()


def test_only_so_many_are_replaced_at_a_time(store: Store) -> None:
    scene = Scene(store, failover_threads=2)
    for number in range(1, 6):
        scene.amphora(number, silent=60)
    assert len(scene.watch.look().dead) == 2
    assert scene.watch.look().dead == (), "the two are not done yet"


def test_the_threshold_stops_all(store: Store) -> None:
    scene = Scene(store, failover_threshold=2)
    scene.amphora(1, silent=60)
    scene.amphora(2, silent=60)
    verdict = scene.watch.look()
    assert verdict.dead == ()
    assert "failover_threshold" in verdict.sentence


def test_a_load_balancer_on_its_way_out_is_not_repaired(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    balancer = make.load_balancer(1, generation=3)
    store.transact(lambda tx: changes.touch(tx, balancer, provisioning_status="PENDING_DELETE"))
    assert scene.watch.look().dead == ()


def test_a_database_that_is_away_is_said_so(store: Store, tmp_path: Path) -> None:
    broken = Store(f"sqlite:///{tmp_path / 'missing' / 'hydria.db'}")
    scene = Scene(broken)
    with pytest.raises(Unavailable):
        scene.watch.look()


def test_one_that_is_heard_again_while_others_are_asked_is_not_given_up(store: Store) -> None:
    scene = Scene(store)
    amphora_id = scene.amphora(1, silent=60)

    def ask(amphora: Amphora) -> bool:
        beat = {"amphora_id": amphora.id, "seen": time.time(), "epoch": 1, "sequence": 1}
        store.transact(lambda tx: amphorae.seen(tx, [beat]))
        return False

    scene.agents.alive = ask
    assert scene.watch.look().dead == ()
    assert scene.status(1) == ("ALLOCATED", "ACTIVE")
    assert amphora_id not in scene.woken.ids


def test_two_health_managers_give_an_amphora_up_once(store: Store) -> None:
    scene, other = Scene(store), Scene(store)
    amphora_id = scene.amphora(1, silent=60)

    def ask(amphora: Amphora) -> bool:
        """The other one is faster, and so is the worker."""
        assert other.watch.look().dead == (amphora_id,)
        store.transact(lambda tx: amphorae.update(tx, amphora_id, status=AmphoraStatus.DELETED))
        return False

    scene.agents.alive = ask
    assert scene.watch.look().dead == ()
    with store.read() as tx:
        kept = rows.load_one(tx, Amphora, amphora_id)
        tree = trees.load_tree(tx, make.load_balancer(1).id)
    assert kept is not None
    assert tree is not None
    assert (kept.status, tree.load_balancer.generation) == (AmphoraStatus.DELETED, 4)


def test_amphorae_that_never_served_and_hopeless_ones_do_not_use_up_the_budget(store: Store) -> None:
    scene = Scene(store, failover_threads=2)
    for number in range(1, 6):
        unborn = Amphora(
            id=f"b0000000-0000-4000-8000-{number:012x}", load_balancer_id=make.load_balancer(number + 10).id,
            status=AmphoraStatus.ERROR, role="STANDALONE", created_at=rows.now(),
        )  # fmt: skip
        balancer = make.load_balancer(number + 10)
        store.transact(lambda tx, balancer=balancer: changes.add_load_balancer(tx, balancer))
        store.transact(lambda tx, unborn=unborn: amphorae.add(tx, unborn))
    for number in range(20, 25):
        hopeless = scene.amphora(number, silent=60)
        store.transact(lambda tx, one=hopeless: amphorae.update(tx, one, status=AmphoraStatus.ERROR))
    store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(attempts=9)))
    dead = scene.amphora(1, silent=60)
    assert scene.watch.look().dead == (dead,)


def test_the_longest_silent_come_first(store: Store) -> None:
    scene = Scene(store, failover_threads=1)
    scene.amphora(1, silent=60)
    longest = scene.amphora(2, silent=600)
    assert scene.watch.look().dead == (longest,)


def test_the_clock_of_the_host_was_put_forward(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.watch._offset -= 3600
    assert scene.watch.look().dead == ()


def test_the_clock_of_the_host_was_put_back(store: Store) -> None:
    scene = Scene(store)
    dead = scene.amphora(1, silent=-3600)  # its last heartbeat is of a time that is still to come
    living = scene.amphora(2, silent=-3600)
    scene.agents.living.add(living)
    assert scene.watch.look().dead == (dead,)
