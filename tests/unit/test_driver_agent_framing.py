"""Requests at the driver agent's sockets: whole ones, and what else arrives there."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from hydria.driver_agent import framing


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("body", [b"", b"{}", b'{"a": "\xc3\xa4\n7\n"}', b"x" * 100_000])
def test_a_request_arrives_whole_however_it_is_cut(
    pair: tuple[socket.socket, socket.socket], body: bytes
) -> None:
    ours, theirs = pair
    message = b"%d\n%s" % (len(body), body)

    def trickle() -> None:
        for start in range(0, len(message), 1 + len(message) // 7):
            theirs.sendall(message[start : start + 1 + len(message) // 7])

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        assert framing.receive(ours, 5) == body
    finally:
        sender.join()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "starts with its length"),
        (b"\n{}", "starts with its length"),
        (b"-1\n", "starts with its length"),
        (b"1" * 100, "starts with its length"),
        (b"\xb2\n", "starts with its length"),
        (b"9999999999\n", "split it"),
    ],
)
def test_what_is_no_request_is_malformed(
    pair: tuple[socket.socket, socket.socket], sent: bytes, words: str
) -> None:
    ours, theirs = pair
    theirs.sendall(sent)
    with pytest.raises(framing.Malformed, match=words):
        framing.receive(ours, 5)


@pytest.mark.parametrize("sent", [b"", b"12", b"12\n{}"])
def test_a_client_that_goes_away_is_noticed(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(sent)
    theirs.close()
    with pytest.raises(EOFError):
        framing.receive(ours, 5)


def test_the_time_is_for_the_whole_request(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ended = threading.Event()

    def drip() -> None:
        theirs.sendall(b"1000\n")
        while not ended.wait(0.02):
            theirs.sendall(b"x")

    sender = threading.Thread(target=drip)
    sender.start()
    begun = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            framing.receive(ours, 0.3)
        assert time.monotonic() - begun < 2
    finally:
        ended.set()
        sender.join()
