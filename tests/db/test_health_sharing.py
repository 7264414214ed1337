"""Health managers share the load balancers: each is looked after by one, whoever comes and goes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from hydria.health_manager.receiver import Received, Receiver
from hydria.health_manager.sharing import Sharing
from hydria.model.amphora import Amphora
from hydria.store import Store, amphorae, changes, health_managers, rows
from hydria.testing import trees as make
from hydria.wire import heartbeat
from hydria.wire.heartbeat import Report
from tests.unit.test_health_recorder import Manager

INTERVAL, TIMEOUT = 10.0, 60.0
BALANCERS = [make.load_balancer(number).id for number in range(1, 301)]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Member:
    """A health manager on a host whose clocks say what they like, that hears amphorae unless it is cut off."""

    def __init__(self, store: Store, clock: Clock, name: str) -> None:
        self.cut_off_at: float | None = None
        self.sharing = Sharing(
            store, name, interval=INTERVAL, trusted_after=TIMEOUT, clock=clock,
            heard_at=lambda: clock.now if self.cut_off_at is None else self.cut_off_at,
        )  # fmt: skip

    def share(self) -> set[str]:
        return {balancer for balancer in BALANCERS if self.sharing.owns(balancer)}

    def trusted(self) -> set[str]:
        return {balancer for balancer in BALANCERS if self.sharing.trusts(balancer)}


class Scene:
    def __init__(self, store: Store, *names: str) -> None:
        self.store = store
        self.clock = Clock()
        self.members = [Member(store, self.clock, name) for name in names]
        self.turns(self.members, 2)

    def turns(self, members: Sequence[Member], number: int) -> None:
        for _ in range(number):
            self.clock.now += INTERVAL / 2
            for member in members:
                member.sharing.look()

    def names(self) -> set[str]:
        with self.store.read() as tx:
            return set(health_managers.beats(tx))


def test_one_alone_looks_after_all_and_writes_nothing_more(store: Store) -> None:
    scene = Scene(store, "a")
    (alone,) = scene.members
    assert alone.share() == set(BALANCERS)
    with store.read() as tx:
        before = health_managers.beats(tx)
    scene.turns(scene.members, 5)
    with store.read() as tx:
        assert health_managers.beats(tx) == before
    scene.clock.now += TIMEOUT
    assert alone.trusted() == set(BALANCERS)


def test_three_have_a_third_each_and_no_load_balancer_has_two_or_none(store: Store) -> None:
    scene = Scene(store, "a", "b", "c")
    shares = [member.share() for member in scene.members]
    assert set.union(*shares) == set(BALANCERS)
    assert sum(map(len, shares)) == len(BALANCERS)
    assert all(len(BALANCERS) / 5 < len(share) < len(BALANCERS) / 2 for share in shares)


def test_what_a_dead_one_had_is_looked_after_within_two_heartbeats(store: Store) -> None:
    scene = Scene(store, "a", "b", "c")
    *living, dead = scene.members
    kept = [member.share() for member in living]
    scene.turns(living, 1)
    assert [member.share() for member in living] == kept, "it may only be slow"
    scene.turns(living, 3)
    shares = [member.share() for member in living]
    assert set.union(*shares) == set(BALANCERS)
    assert not set.intersection(*shares)
    assert all(before <= after for before, after in zip(kept, shares, strict=True)), "nothing else moves"
    # What the dead one did not hear looks silent: nobody concludes anything from that for a while.
    gained = shares[0] - kept[0]
    scene.clock.now = 1000.0 + TIMEOUT
    assert not gained & living[0].trusted()
    scene.clock.now += TIMEOUT
    assert gained <= living[0].trusted()
    dead.sharing.look()
    scene.turns(scene.members, 2)
    assert sum(len(member.share()) for member in scene.members) == len(BALANCERS), "it is back"


def test_one_that_leaves_is_followed_at_once(store: Store) -> None:
    scene = Scene(store, "a", "b")
    scene.members[1].sharing.stop()
    scene.turns(scene.members[:1], 1)
    assert scene.members[0].share() == set(BALANCERS)


def test_one_that_hears_nobody_leaves_its_share_to_the_others(store: Store) -> None:
    scene = Scene(store, "a", "b")
    cut_off, other = scene.members
    cut_off.cut_off_at = scene.clock.now
    scene.turns(scene.members, 5)
    assert scene.names() == {"b"}
    assert other.share() == set(BALANCERS)
    assert cut_off.trusted() == set(), "it declares nobody dead"
    assert cut_off.share() == set(BALANCERS), "but what it hears it records"
    cut_off.cut_off_at = None
    scene.turns(scene.members, 2)
    assert scene.names() == {"a", "b"}
    assert cut_off.share() | other.share() == set(BALANCERS)
    assert not cut_off.share() & other.share()


def test_rows_of_the_dead_do_not_stay(store: Store) -> None:
    scene = Scene(store, "a", "b")
    scene.turns(scene.members[:1], 200)
    assert scene.names() == {"a"}


@pytest.mark.parametrize("first", [0, 1])
def test_a_heartbeat_is_read_by_one_of_them(store: Store, first: int) -> None:
    """Who does not look after the load balancer does not even check the signature, once it knows that."""
    balancer = make.load_balancer()
    amphora = Amphora(
        id="a0000000-0000-4000-8000-000000000001", load_balancer_id=balancer.id, status="ALLOCATED",
        role="STANDALONE", created_at=rows.now(),
    )  # fmt: skip
    store.transact(lambda tx: changes.add_load_balancer(tx, balancer))
    store.transact(lambda tx: amphorae.add(tx, amphora))
    store.transact(lambda tx: amphorae.watch(tx, amphora.id, 0.0))
    receivers = [Receiver("127.0.0.1", 0, "secret") for _ in range(2)]
    managers = [Manager(store, receiver, name) for receiver, name in zip(receivers, "ab", strict=True)]
    key = heartbeat.derive_key("secret", amphora.id)
    try:
        for manager, receiver in zip(managers, receivers, strict=True):
            receiver.wanted = manager.sharing.wants
        for _ in range(2):
            for manager in managers:
                manager.sharing.look()
        order = [first, 1 - first]
        for sequence in (1, 2):
            (datagram,) = heartbeat.encode(Report(amphora.id, 1, sequence, 1, haproxy=True), key)
            news = {}
            for number in order:
                receivers[number].accept(datagram)
                taken: list[Received] = receivers[number].take()
                news[number] = (len(taken), len(managers[number].recorder.record(taken)))
            owner = next(number for number in order if managers[number].sharing.owns(balancer.id))
            assert news[owner] == (1, 1)
            assert news[1 - owner] == (1 if sequence == 1 else 0, 0)
    finally:
        for receiver in receivers:
            receiver.stop()


def test_a_member_is_known_by_its_beat_whatever_clocks_say(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(store, "a", "b")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 3600)
    scene.turns(scene.members[:1], 1)
    monkeypatch.setattr(time, "time", lambda: real - 3600)
    scene.turns(scene.members[1:], 1)
    shares = [member.share() for member in scene.members]
    assert set.union(*shares) == set(BALANCERS)
    assert not set.intersection(*shares)
