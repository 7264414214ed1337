"""The agent's end of the channel: whatever the root part is late with, each answer is that of its question."""

import json
import socket
from collections.abc import Iterator

import pytest

from hydria.amphora.commands import Commands
from hydria.amphora.faults import Failed, Refused
from hydria.amphora.root_part import RootPart

NOWHERE = "192.0.2.200"


class Pair:
    """Both ends; the test is the root part."""

    def __init__(self) -> None:
        self.root, agent = socket.socketpair()
        agent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.root.settimeout(10)
        self.agent = RootPart(agent, 0.05, 0.05)
        self.lines = self.root.makefile("rb")

    def answer(self, **reply: object) -> dict[str, object]:
        """Take the next request, and answer it."""
        request = json.loads(self.lines.readline())
        self.root.sendall(json.dumps(reply).encode() + b"\n")
        return request


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.root.close()


def late(pair: Pair, command: str = "first", arguments: object = None) -> None:
    with pytest.raises(Failed, match=rf"{command}: the root part does not answer for 0\.05 s"):
        pair.agent.ask(command, arguments)


def test_a_late_answer_is_not_that_of_the_next_request(pair: Pair) -> None:
    late(pair)
    assert pair.answer(result="late")["command"] == "first"
    pair.root.sendall(b'{"result": "in time"}\n')
    assert pair.agent.ask("second", None) == "in time"
    assert json.loads(pair.lines.readline())["command"] == "second"


def test_nothing_more_is_asked_while_an_answer_is_overdue(pair: Pair) -> None:
    late(pair)
    for _ in range(3):
        late(pair, "second")
    assert pair.answer(fault="late")["command"] == "first"
    late(pair, "third")
    assert pair.answer(result=3)["command"] == "third"


def test_an_answer_that_comes_in_pieces(pair: Pair) -> None:
    pair.root.sendall(b'{"result": "la')
    late(pair)
    pair.root.sendall(b'te"}\n{"fault": "no"}\n')
    with pytest.raises(Refused, match=r"^no$"):
        pair.agent.ask("second", None)


def test_a_request_that_was_sent_in_part_is_sent_to_its_end(pair: Pair) -> None:
    text = "x" * 3_000_000
    late(pair, "first", text)
    with pytest.raises(Failed, match="does not answer"):
        pair.agent.ask("second", None)
    # What is in the buffers does not make a line yet: the agent has to go on for the root part to get it.
    received = b""
    while not received.endswith(b"\n"):
        pair.root.settimeout(0.01)
        try:
            received += pair.root.recv(1 << 20)
        except TimeoutError:
            with pytest.raises(Failed):
                pair.agent.ask("second", None)
    assert json.loads(received) == {"command": "first", "arguments": text}
    pair.root.sendall(b'{"result": null}\n{"result": 2}\n')
    assert pair.agent.ask("third", None) == 2


def test_what_broke_off_is_no_verdict(pair: Pair) -> None:
    pair.root.sendall(b'{"failure": "nft was ended by signal 9"}\n')
    with pytest.raises(Failed, match="signal 9"):
        pair.agent.ask("nftables", None)


def test_the_root_part_tells_a_refusal_from_what_broke_off() -> None:
    def broken(error: Exception) -> dict[str, object]:
        def fail(_arguments: object) -> None:
            raise error

        commands = Commands(NOWHERE)
        commands.known = {"it": fail}
        answer: dict[str, object] = json.loads(commands.answer(b'{"command": "it", "arguments": 1}'))
        return answer

    assert broken(Refused("no")) == {"fault": "no"}
    assert broken(Failed("ended")) == {"failure": "ended"}
    assert broken(OSError(28, "No space left")) == {"failure": "[Errno 28] No space left"}
