"""Whoever has recorded heartbeats sends them again, where nobody remembers that they were heard."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hydria.amphora import workdir
from hydria.amphora.running import Lives, Running
from hydria.health_manager.receiver import Receiver
from hydria.store import heartbeats, tables
from hydria.wire import heartbeat
from hydria.wire.heartbeat import ListenerReport, Report
from tests.databases import new_store
from tests.unit.test_health_recorder import AMPHORA, Manager, Scene

MASTER = "the deployment's secret"
LONG_AGO = 50.0


class Life:
    """One life of a health manager: what it hears it records at once."""

    def __init__(self, scene: Scene) -> None:
        self._receiver = Receiver("127.0.0.1", 0, MASTER)
        self._manager = Manager(scene.store, self._receiver)

    def hear(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._receiver.accept(datagram)
            self._manager.hear(self._receiver.take())

    def close(self) -> None:
        self._receiver.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = new_store(tmp_path)
    made = Scene(store)
    yield made
    made.receiver.stop()
    store.close()


def datagram(scene: Scene, sequence: int, epoch: int = 10, members: str = "UP", **counters: int) -> bytes:
    report = Report(
        AMPHORA, epoch, sequence, 1, haproxy=True,
        listeners={item.id: ListenerReport("OPEN", **counters) for item in scene.tree.listeners},
        pools={item.id: "UP" for item in scene.tree.pools},
        members={item.id: members for item in scene.tree.members},
    )  # fmt: skip
    (made,) = heartbeat.encode(report, heartbeat.derive_key(MASTER, AMPHORA))
    return made


def is_silent(scene: Scene, since: float) -> bool:
    with scene.store.read() as tx:
        return [found.amphora.id for found in heartbeats.silent(tx, since, 2e9, 9)] == [AMPHORA]


def fall_silent(scene: Scene) -> None:
    """As if the amphora had died a while ago."""
    health = tables.amphora_health
    scene.store.transact(lambda tx: tx.execute(sa.update(health).values(seen=time.time() - LONG_AGO)))


def test_after_a_restart_replayed_heartbeats_do_not_hide_a_dead_amphora(scene: Scene) -> None:
    recorded = [datagram(scene, sequence) for sequence in range(1, 46)]
    with closing(Life(scene)) as first:
        first.hear(*recorded)
    fall_silent(scene)
    with closing(Life(scene)) as restarted:
        for one in recorded:
            restarted.hear(one)
            assert is_silent(scene, time.time() - LONG_AGO / 2)
        restarted.hear(datagram(scene, 46))  # it was not dead after all
    assert not is_silent(scene, time.time() - LONG_AGO / 2)


def test_what_one_manager_has_heard_is_a_replay_for_another(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Life(scene)) as first, closing(Life(scene)) as second:
        first.hear(datagram(scene, 1, members="DOWN", active_connections=9), datagram(scene, 2))
        assert scene.statuses(tables.members) == {"ONLINE"}
        fall_silent(scene)
        with caplog.at_level(logging.WARNING):
            second.hear(datagram(scene, 1, members="DOWN", active_connections=9))
        assert "older than what is recorded" in caplog.text
        assert is_silent(scene, time.time() - LONG_AGO / 2)
        assert scene.statuses(tables.members) == {"ONLINE"}
        assert scene.total("bytes_in") == 0


def test_two_managers_hear_the_same_heartbeats(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Life(scene)) as first, closing(Life(scene)) as second, caplog.at_level("WARNING"):
        for sequence in range(1, 5):
            beat = datagram(scene, sequence, members="UP" if sequence % 2 else "DOWN", bytes_in=sequence)
            for manager in (first, second) if sequence % 2 else (second, first):
                manager.hear(beat)
            assert scene.statuses(tables.members) == {"ONLINE" if sequence % 2 else "ERROR"}
    assert scene.total("bytes_in") == 4 * len(scene.tree.listeners)
    assert caplog.text == ""


def test_all_parts_of_a_large_report_are_of_one_age(scene: Scene) -> None:
    members = [item.id for item in scene.tree.members]
    whole = dict.fromkeys((*members, *(f"{number:064}" for number in range(1500))), "DOWN")
    report = Report(AMPHORA, 10, 7, 1, haproxy=True, pools={scene.tree.pools[0].id: "UP"}, members=whole)
    parts = heartbeat.encode(report, heartbeat.derive_key(MASTER, AMPHORA))
    assert len(parts) > 1
    with closing(Life(scene)) as manager:
        manager.hear(*parts)  # each recorded by itself
    assert scene.statuses(tables.members) == {"ERROR"}


@pytest.fixture
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put_back(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - int(seconds * 1e9))


@pytest.mark.usefixtures("_work")
def test_a_start_under_an_earlier_clock_is_a_new_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lives("the key of one amphora").new_epoch()
    put_back(monkeypatch, 86_400)
    second = Lives("the key of one amphora").new_epoch()
    third = Lives("the key of one amphora").new_epoch()
    assert first < second < third
    with closing(Life(scene)) as manager:
        manager.hear(datagram(scene, 500, first, bytes_in=7))
        fall_silent(scene)
        manager.hear(datagram(scene, 1, second, bytes_in=5))
    assert not is_silent(scene, time.time() - LONG_AGO / 2)
    assert scene.total("bytes_in") == 12 * len(scene.tree.listeners)


@pytest.mark.usefixtures("_work")
def test_haproxy_cannot_end_all_epochs() -> None:
    lives = Lives("the key of one amphora")
    lives.new_epoch()
    lives.note(Running(pid=7, structure="s", epoch=3))
    assert lives.running() == Running(pid=7, structure="s", epoch=3)
    forged = {workdir.EPOCH: b"9007199254740990", workdir.RUNNING: b'{"pid":7,"epoch":9007199254740990}'}
    kept = {name: Path(name).read_bytes() for name in forged}
    swapped = dict(zip(kept, reversed(list(kept.values())), strict=True))
    for name, body in forged.items():
        for content in (body, kept[name].partition(b"\n")[0] + b"\n" + body, swapped[name]):
            Path(name).write_bytes(content)
            assert lives.running() == (
                Running(pid=7, structure="s", epoch=3) if name == workdir.EPOCH else Running()
            )
            assert lives.new_epoch() < 2**52


@pytest.mark.usefixtures("_work")
def test_an_agent_whose_disk_is_full_begins_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    lives = Lives("the key of one amphora")
    assert lives.new_epoch() > 0
    lives.note(Running(pid=7))
    assert lives.running() == Running()
