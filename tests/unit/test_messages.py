"""Wake-ups: they reach whoever listens, and never keep the sender waiting."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

import pytest

from hydria import messages
from hydria.messages import LocalWakeups, Sender


def await_that(reached: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_within_a_process_they_are_heard_in_order() -> None:
    wakeups, heard = LocalWakeups(), queue.SimpleQueue()
    wakeups.listen(heard.put)
    for name in "abc":
        wakeups.wake(name)
    assert [heard.get(timeout=5) for _ in range(3)] == ["a", "b", "c"]
    wakeups.close()


def test_a_process_in_which_nobody_listens_does_not_collect_them() -> None:
    wakeups = LocalWakeups()
    for _ in range(1000):
        wakeups.wake("a")
    assert wakeups._queue.empty()


def test_a_broker_that_hangs_keeps_nobody_waiting() -> None:
    sent: list[str] = []
    free = threading.Event()

    def send(name: str) -> None:
        free.wait(10)
        sent.append(name)

    sender = Sender(send)
    sender.put("a")
    await_that(lambda: not sender._waiting)
    began = time.monotonic()
    for number in range(500):
        sender.put(f"lb{number % 5}")
    assert time.monotonic() - began < 5  # it hangs for ten
    free.set()
    await_that(lambda: len(sent) == 6)
    assert sent == ["a", "lb0", "lb1", "lb2", "lb3", "lb4"], "one for any number of the same"
    sender.close()


def test_it_goes_on_after_failures_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", messages.LOG.name)
    broken, sent = [True], []

    def send(name: str) -> None:
        if broken[0]:
            raise OSError("connection refused")
        sent.append(name)

    sender = Sender(send)
    for name in "abc":
        sender.put(name)
        await_that(lambda: not sender._waiting)
    await_that(lambda: "connection refused" in caplog.text)
    broken[0] = False
    sender.put("d")
    await_that(lambda: sent == ["d"])
    await_that(lambda: "again" in caplog.text)
    assert caplog.text.count("connection refused") == 1
    sender.close()


def test_it_sends_after_a_fork_too() -> None:
    reading, writing = os.pipe()
    sender = Sender(lambda name: os.write(writing, name.encode()) and None)
    sender.put("p")
    assert os.read(reading, 1) == b"p"
    child = os.fork()
    if child == 0:
        sender.put("c")
        time.sleep(5)
        os._exit(0)
    try:
        assert os.read(reading, 1) == b"c"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    sender.close()


def test_no_more_wait_than_workers_would_want() -> None:
    free = threading.Event()
    sender = Sender(lambda _name: free.wait(10) and None)
    for number in range(messages._MOST_WAITING + 100):
        sender.put(str(number))
    assert len(sender._waiting) <= messages._MOST_WAITING
    sender.close()
    free.set()
