"""The agent's log on its way to receivers, which are real sockets."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from hydria.amphora import log as amphora_log
from hydria.amphora.log import direct, log
from hydria.amphora.offload import THREAD, Offload
from hydria.wire.logs import LONGEST, Syslog

RECORD = re.compile(r"<141>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d amphora-1 amphora-agent\[\d+\]: (.*)")


class Receiver:
    """Collects lines over TCP, until it is closed."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.target = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.lines: list[str] = []
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.lines.extend(line.rstrip("\n") for line in connection.makefile())

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(port: int = 0) -> Receiver:
        made.append(Receiver(port))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def offload() -> Iterator[Callable[..., Offload]]:
    made: list[Offload] = []

    def make(*targets: str, **more: object) -> Offload:
        values = {"protocol": "TCP", "facility": 1, "retry_interval": 1, **more}
        made.append(Offload("amphora-1", Syslog(targets, **values)))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def said(receiver: Receiver) -> list[str]:
    found = [RECORD.fullmatch(line) for line in receiver.lines]
    assert all(found), receiver.lines
    return [each[1] for each in found if each]


def threads() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


def test_lines_over_udp(offload: Callable[..., Offload]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sending = offload(f"127.0.0.1:{receiver.getsockname()[1]}", "127.0.0.1:1", protocol="UDP")
        sending.put("agent: one\n<0>two\x1b[31m")
        sending.put("x" * 10_000)
        found = RECORD.fullmatch(receiver.recv(65536).decode())
        assert found
        assert found[1] == "agent: one <0>two [31m"
        assert len(receiver.recv(65536)) == LONGEST


def test_the_second_receiver_stands_in_for_the_first(
    receivers: Callable[..., Receiver], offload: Callable[..., Offload]
) -> None:
    first, second = receivers(), receivers()
    sending = offload(first.target, second.target)
    sending.put("one")
    eventually(lambda: said(first) == ["one"])
    first.close()
    sending.put("two")
    eventually(lambda: said(second) == ["two"])
    assert said(first) == ["one"]


def test_lines_wait_for_a_receiver_and_the_oldest_give_way(
    receivers: Callable[..., Receiver], offload: Callable[..., Offload]
) -> None:
    gone = receivers()
    port = int(gone.target.rpartition(":")[2])
    gone.close()
    sending = offload(gone.target, queue=5)
    began = time.monotonic()
    for number in range(1000):
        sending.put(str(number))
    assert time.monotonic() - began < 1  # nobody waits
    back = receivers(port)
    eventually(lambda: "999" in said(back))
    assert said(back)[-5:] == ["995", "996", "997", "998", "999"]
    assert len(said(back)) <= 6  # and the one that was on its way


def test_a_stopped_one_ends(offload: Callable[..., Offload]) -> None:
    eventually(lambda: not threads())
    sending = offload("127.0.0.1:1")
    sending.put("never")
    assert threads() == 1
    sending.stop()
    eventually(lambda: not threads())


def test_where_lines_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    try:
        direct(lines.append, here=False)
        log("agent", "elsewhere\nalone")
        direct(lines.append, here=True)
        log("agent", "both")
        direct(None, here=False)
        log("agent", "here")
    finally:
        direct(None, here=True)
    assert lines == ["agent: elsewhere | alone", "agent: both"]
    written = capfd.readouterr().err.splitlines()
    assert [line.partition(" ")[2] for line in written] == ["agent: both", "agent: here"]
    assert amphora_log._output.elsewhere is None
