"""Whom the health manager declares dead, and whom it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hydria.health_manager import failure_detector
from hydria.health_manager.failure_detector import FailureDetector
from hydria.health_manager.receiver import Last
from hydria.messages import LocalWakeups
from hydria.model.amphora import Amphora
from hydria.model.errors import Unavailable
from hydria.model.statuses import AmphoraStatus
from hydria.settings import HealthManagerSettings
from hydria.store import Store, amphorae, changes, heartbeats, rows, tables, trees
from hydria.store.heartbeats import Beat
from hydria.testing import trees as make
from hydria.wire.capabilities import NONE, Capabilities
from hydria.wire.state import Applied, DesiredState
from tests.databases import new_store


class Agents:
    """Answers for the amphorae named in ``living``."""

    def __init__(self) -> None:
        self.living: set[str] = set()
        self.asked: list[str] = []

    def alive(self, amphora: Amphora) -> bool:
        self.asked.append(amphora.id)
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
        defaults: dict[str, object] = {
            "heartbeat_timeout": 5.0, "health_check_interval": 60.0, "failover_breaker_share": 0.0,
        }  # fmt: skip
        self.settings = HealthManagerSettings(**(defaults | settings))
        self.detector = self.another()

    def another(self, **more: Any) -> FailureDetector:
        """One that has run for as long as it takes until it judges."""
        made = FailureDetector(self.store, self.agents, self.woken, self.settings, **more)
        made._trusted_from = 0.0
        return made

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
    verdict = scene.detector.look()
    assert verdict.dead == (dead,)
    assert dead in verdict.sentence
    assert scene.status(1) == ("ERROR", "PENDING_UPDATE")
    assert scene.status(2) == ("ALLOCATED", "ACTIVE")
    assert scene.woken.ids == [make.load_balancer(1).id]
    assert scene.detector.look().dead == (), "it is declared dead once"


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
    scene.detector.look()
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
    assert len(scene.detector.look().dead) == 1
    assert set(operating(store, balancer_id).values()) == {"ONLINE"}


def test_a_silent_amphora_that_answers_is_left_alone(store: Store) -> None:
    scene = Scene(store)
    scene.agents.living.add(scene.amphora(1, silent=60))
    verdict = scene.detector.look()
    assert verdict.dead == ()
    assert "1 of them answer" in verdict.sentence
    assert scene.status(1) == ("ALLOCATED", "ACTIVE")


def test_nobody_is_judged_before_everybody_could_be_heard(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.detector = FailureDetector(store, scene.agents, scene.woken, scene.settings)
    assert scene.detector.look().dead == ()


def test_nobody_is_judged_after_this_program_stood_still(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.detector._last_pass = time.monotonic() - 600
    assert scene.detector.look().dead == ()


def test_only_so_many_are_replaced_at_a_time(store: Store) -> None:
    scene = Scene(store, failover_threads=2)
    for number in range(1, 6):
        scene.amphora(number, silent=60)
    assert len(scene.detector.look().dead) == 2
    assert scene.detector.look().dead == (), "the two are not done yet"


def test_the_threshold_stops_all(store: Store) -> None:
    scene = Scene(store, failover_threshold=2)
    scene.amphora(1, silent=60)
    scene.amphora(2, silent=60)
    verdict = scene.detector.look()
    assert verdict.dead == ()
    assert "failover_threshold" in verdict.sentence


def test_a_load_balancer_on_its_way_out_is_not_repaired(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    balancer = make.load_balancer(1, generation=3)
    store.transact(lambda tx: changes.touch(tx, balancer, provisioning_status="PENDING_DELETE"))
    assert scene.detector.look().dead == ()


def test_a_database_that_is_away_is_said_so(store: Store, tmp_path: Path) -> None:
    broken = Store(f"sqlite:///{tmp_path / 'missing' / 'hydria.db'}")
    scene = Scene(broken)
    with pytest.raises(Unavailable):
        scene.detector.look()


def test_one_that_is_heard_again_while_others_are_asked_is_not_given_up(store: Store) -> None:
    scene = Scene(store)
    amphora_id = scene.amphora(1, silent=60)

    def ask(amphora: Amphora) -> bool:
        store.transact(lambda tx: heartbeats.record(tx, {amphora.id: Beat(time.time(), 1, 1)}))
        return False

    scene.agents.alive = ask
    assert scene.detector.look().dead == ()
    assert scene.status(1) == ("ALLOCATED", "ACTIVE")
    assert amphora_id not in scene.woken.ids


def test_two_health_managers_give_an_amphora_up_once(store: Store) -> None:
    scene, other = Scene(store), Scene(store)
    amphora_id = scene.amphora(1, silent=60)

    def ask(amphora: Amphora) -> bool:
        """The other one is faster, and so is the worker."""
        assert other.detector.look().dead == (amphora_id,)
        store.transact(lambda tx: amphorae.update(tx, amphora_id, status=AmphoraStatus.DELETED))
        return False

    scene.agents.alive = ask
    assert scene.detector.look().dead == ()
    with store.read() as tx:
        kept = rows.load_one(tx, Amphora, amphora_id)
        tree = trees.load_tree(tx, make.load_balancer(1).id)
    assert kept is not None
    assert tree is not None
    assert (kept.status, tree.load_balancer.generation) == (AmphoraStatus.DELETED, 4)


def test_amphorae_that_never_served_do_not_use_up_the_budget(store: Store) -> None:
    scene = Scene(store, failover_threads=2)
    for number in range(1, 6):
        unborn = Amphora(
            id=f"b0000000-0000-4000-8000-{number:012x}", load_balancer_id=make.load_balancer(number + 10).id,
            status=AmphoraStatus.ERROR, role="STANDALONE", created_at=rows.now(),
        )  # fmt: skip
        balancer = make.load_balancer(number + 10)
        store.transact(lambda tx, balancer=balancer: changes.add_load_balancer(tx, balancer))
        store.transact(lambda tx, unborn=unborn: amphorae.add(tx, unborn))
    dead = scene.amphora(1, silent=60)
    assert scene.detector.look().dead == (dead,)


def test_the_longest_silent_come_first(store: Store) -> None:
    scene = Scene(store, failover_threads=1)
    scene.amphora(1, silent=60)
    longest = scene.amphora(2, silent=600)
    assert scene.detector.look().dead == (longest,)


def test_the_clock_of_the_host_was_put_forward(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    scene.detector._offset -= 3600
    assert scene.detector.look().dead == ()


def test_the_clock_of_the_host_was_put_back(store: Store) -> None:
    scene = Scene(store)
    dead = scene.amphora(1, silent=-3600)  # its last heartbeat is of a time that is still to come
    living = scene.amphora(2, silent=-3600)
    scene.agents.living.add(living)
    assert scene.detector.look().dead == (dead,)


def replaced(store: Store) -> None:
    """A worker has replaced all that are dead."""
    amphora, balancer = tables.amphorae, tables.load_balancers
    done = {"applied_generation": balancer.c.generation, "provisioning_status": "ACTIVE"}
    store.transact(lambda tx: tx.execute(sa.update(balancer).values(done)))
    store.transact(lambda tx: tx.execute(sa.delete(amphora).where(amphora.c.status == AmphoraStatus.ERROR)))


def test_one_that_this_program_has_heard_is_not_even_asked(store: Store) -> None:
    scene = Scene(store)
    heard, dead = scene.amphora(1, silent=60), scene.amphora(2, silent=60)
    # Heartbeats of the first wait to be recorded; what is sent of the second was recorded before.
    last = {heard: Last(1, 7, 1, time.monotonic()), dead: Last(0, 0, 1, time.monotonic())}
    scene.detector = scene.another(heard=last.get)
    assert scene.detector.look().dead == (dead,)
    assert scene.agents.asked == [dead]
    last[heard] = Last(1, 7, 1, time.monotonic() - 60)
    replaced(store)
    assert scene.detector.look().dead == (heard,), "that was long ago"


def test_those_of_other_health_managers_are_left_to_them(store: Store) -> None:
    scene = Scene(store)
    scene.amphora(1, silent=60)
    mine = scene.amphora(2, silent=60)
    scene.detector = scene.another(trusts=lambda balancer_id: balancer_id == make.load_balancer(2).id)
    assert scene.detector.look().dead == (mine,)
    assert scene.agents.asked == [mine]


def test_while_a_large_share_is_silent_nobody_is_replaced(store: Store) -> None:
    scene = Scene(store, failover_breaker_share=0.25, failover_threads=8)
    silent = [scene.amphora(number, silent=60) for number in range(1, 7)]
    living = [scene.amphora(number, silent=1) for number in range(7, 21)]
    verdict = scene.detector.look()
    assert verdict.dead == ()
    assert "6 of 20 amphorae are silent" in verdict.sentence
    assert "failover_breaker_share" in verdict.sentence
    assert scene.agents.asked == []
    # Two are heard again: one amphora first, then more.
    beats = {name: Beat(time.time(), 1, 1) for name in (silent[0], silent[1], *living)}
    store.transact(lambda tx: heartbeats.record(tx, beats))
    deaths = [len(scene.detector.look().dead) for _ in range(3)]
    assert deaths == [1, 2, 1]


def test_what_other_health_managers_do_not_hear_breaks_nothing_here(store: Store) -> None:
    """A colleague is behind, or has a clock that is wrong."""
    scene = Scene(store, failover_breaker_share=0.25)
    for number in range(1, 11):
        scene.amphora(number, silent=60)
    mine = [scene.amphora(number, silent=60 if number < 15 else 1) for number in range(11, 31)][:4]
    own = {make.load_balancer(number).id for number in range(11, 31)}
    scene.detector = scene.another(trusts=own.__contains__, share=lambda: 2 / 3)
    assert set(scene.detector.look().dead) == set(mine)


def test_in_a_small_deployment_a_few_are_replaced_whatever_share_they_are(store: Store) -> None:
    scene = Scene(store, failover_breaker_share=0.25)
    dead = {scene.amphora(number, silent=60) for number in range(1, 4)}
    assert set(scene.detector.look().dead) == dead


def test_a_large_share_is_counted_beyond_what_is_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_detector, "_PAGES", (2, 4))
    scene = Scene(store, failover_breaker_share=0.5)
    for number in range(1, 10):
        scene.amphora(number, silent=60)
    assert "9 of 9 amphorae" in scene.detector.look().sentence


def test_two_health_managers_spend_one_budget(store: Store) -> None:
    scene, other = Scene(store, failover_threads=2), Scene(store, failover_threads=2)
    for number in range(1, 7):
        scene.amphora(number, silent=60)
    dead: list[str] = []

    def ask(amphora: Amphora) -> bool:
        """The other one looks after this one has counted what is under replacement."""
        if not dead:
            dead.extend(other.detector.look().dead)
        return False

    scene.agents.alive = ask
    dead.extend(scene.detector.look().dead)
    assert len(dead) == 2


def test_hopeless_replacements_keep_their_place_and_one_is_tried_now_and_then(store: Store) -> None:
    scene = Scene(store, failover_threads=2)
    for number in range(20, 22):
        hopeless = scene.amphora(number, silent=60)
        store.transact(lambda tx, one=hopeless: amphorae.update(tx, one, status=AmphoraStatus.ERROR))
    failing = {"attempts": 9, "generation": 4}
    store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(failing)))
    for number in range(1, 4):
        scene.amphora(number, silent=60)
    first, second = scene.detector.look(), scene.detector.look()
    assert (len(first.dead), len(second.dead)) == (1, 0)
    assert "the replacement of 2 dead ones fails again and again" in first.sentence
    scene.detector._last_despite_hopeless -= 60
    store.transact(lambda tx: tx.execute(sa.update(tables.load_balancers).values(attempts=9)))
    assert len(scene.detector.look().dead) == 1


def test_what_is_replaced_but_not_deleted_yet_costs_no_budget(store: Store) -> None:
    scene = Scene(store, failover_threads=1)
    for number in range(20, 22):
        left = scene.amphora(number, silent=60)
        store.transact(lambda tx, one=left: amphorae.update(tx, one, status=AmphoraStatus.ERROR))
    dead = scene.amphora(1, silent=60)
    assert scene.detector.look().dead == (dead,)
