"""Which datagrams the health manager believes."""

from __future__ import annotations

import dataclasses
import socket
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from hydria.health_manager.receiver import Receiver
from hydria.wire import heartbeat
from hydria.wire.heartbeat import Rejected, Report

MASTER = "the deployment's secret"
REPORT = Report("a1", epoch=10, sequence=1, generation=1, haproxy=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver("127.0.0.1", 0, MASTER)
    yield made
    made.stop()


def datagram(**changes: object) -> bytes:
    report = dataclasses.replace(REPORT, **changes)
    return heartbeat.encode(report, heartbeat.derive_key(MASTER, report.amphora_id))[0]


def test_newer_ones_are_believed_and_the_newest_is_given(receiver: Receiver) -> None:
    receiver.accept(datagram())
    receiver.accept(datagram(sequence=2))
    receiver.accept(datagram(amphora_id="a2"))
    taken = {item.report.amphora_id: item.report.sequence for item in receiver.take()}
    assert taken == {"a1": 2, "a2": 1}
    assert receiver.take() == []


def test_a_new_life_of_the_agent_starts_over(receiver: Receiver) -> None:
    receiver.accept(datagram(sequence=50))
    receiver.accept(datagram(epoch=11, sequence=1))
    assert len(receiver.take()) == 1


@pytest.mark.parametrize("changes", [{}, {"sequence": 0}, {"epoch": 9, "sequence": 99}])
def test_what_was_sent_before_is_a_replay(receiver: Receiver, changes: dict[str, object]) -> None:
    receiver.accept(datagram())
    with pytest.raises(Rejected, match="replayed"):
        receiver.accept(datagram(**changes))


def test_the_key_of_another_amphora_is_no_key(receiver: Receiver) -> None:
    forged = heartbeat.encode(REPORT, heartbeat.derive_key(MASTER, "a2"))[0]
    with pytest.raises(Rejected, match="signature"):
        receiver.accept(forged)


def test_over_the_network_nonsense_does_not_stop_it(receiver: Receiver) -> None:
    receiver.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in (b"nonsense", b"", b"\x01" + b"x" * 500, datagram()):
            sender.sendto(payload, receiver.address)
    deadline = time.monotonic() + 5
    taken = receiver.take()
    while not taken and time.monotonic() < deadline:
        taken = receiver.take()
    assert [item.report.amphora_id for item in taken] == ["a1"]


class Stumbling(Receiver):
    """Breaks off at the first datagram, as no receiver should."""

    stumbled = False

    def accept(self, datagram: bytes) -> None:
        if not self.stumbled:
            self.stumbled = True
            raise KeyError("nobody thought of that")
        super().accept(datagram)


def test_nothing_at_all_stops_it() -> None:
    receiver = Stumbling("127.0.0.1", 0, MASTER)
    receiver.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", receiver.address)
            sender.sendto(datagram(), receiver.address)
        deadline = time.monotonic() + 5
        while not (taken := receiver.take()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [item.report.amphora_id for item in taken] == ["a1"]
    finally:
        receiver.stop()


def test_strangers_cannot_fill_its_memory(receiver: Receiver) -> None:
    tracemalloc.start()
    try:
        for number in range(2000):
            name = f"{number:064}".encode()
            with pytest.raises(Rejected):
                receiver.accept(bytes([heartbeat.VERSION, 64]) + name + b"x" * 50_000)
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()


def test_what_is_the_business_of_another_health_manager_is_not_read(receiver: Receiver) -> None:
    receiver.wanted = lambda amphora_id: amphora_id == "a1"
    receiver.accept(datagram(amphora_id="a2"))
    assert (receiver.take(), receiver.last("a2")) == ([], None)
    receiver.accept(datagram())
    assert [item.report.amphora_id for item in receiver.take()] == ["a1"]


def test_only_what_an_amphora_has_signed_shows_that_one_is_heard(receiver: Receiver) -> None:
    receiver.wanted = lambda _amphora_id: False
    receiver.heard_at = long_ago = time.monotonic() - 60
    forged = heartbeat.encode(REPORT, heartbeat.derive_key(MASTER, "a2"))[0]
    with pytest.raises(Rejected, match="signature"):
        receiver.accept(forged)
    assert receiver.heard_at == long_ago
    receiver.accept(datagram())
    assert receiver.heard_at > long_ago


def test_it_knows_what_it_has_heard_last_whether_or_not_that_is_recorded(receiver: Receiver) -> None:
    assert receiver.last("a1") is None
    receiver.accept(datagram())
    receiver.accept(datagram(sequence=5))
    with pytest.raises(Rejected):
        receiver.accept(datagram(sequence=3))
    last = receiver.last("a1")
    assert last is not None
    assert (last.epoch, last.sequence) == (10, 5)
    assert time.monotonic() - last.at < 60
