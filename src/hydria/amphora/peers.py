"""What an HAProxy process that is to retire knows, and so can teach: its peers section (src/peers.c).

A process teaches its successor, the local peer, who sticks to which member and what clients have had of their
rate limits. But it does so only when it has learnt itself. One without a predecessor waits for other peers
first, for five seconds; one whose predecessor has nothing to teach, even for ten. Here it is told that there
is nothing to learn, in the words of the peer that it waits for (doc/peers-v2.0.txt).
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress

from hydria.amphora.log import log
from hydria.amphora.runtime import CommandFailed, Runtime
from hydria.wire.proxies import PEER, PEER_SOCKET, PEER_TEACHER

# Of a process that learns a large table. One that nobody teaches ends to wait by itself, after five seconds.
_LESSON_SECONDS = 15.0
_ANSWER_SECONDS = 1.0
_STATE = re.compile(r" id=\S+ .*?flags=0x([0-9a-f]+)")
_FROM_LOCAL, _FROM_REMOTE, _FINISHED = 0, 1, 3
_LEARNING = 4  # somebody has begun to teach it
_SUCCESS = b"200\n"
_REQUEST, _NOTHING_MORE, _CONFIRMED = b"\x00\x00", b"\x00\x01", b"\x00\x03"


def finish_learning(*, taught: bool) -> bool:
    """See to it that the running process has learnt; returns whether it has anything to teach.

    taught: whether its own predecessor has something to teach it, which is waited for.
    """
    deadline = time.monotonic() + _LESSON_SECONDS
    with suppress(CommandFailed, OSError), Runtime() as runtime:
        while time.monotonic() < deadline:
            found = _STATE.search(runtime.ask("show peers"))
            if not found:
                return False
            flags = int(found[1], 16)
            if flags & _FINISHED == _FINISHED:
                return True
            if flags & _FINISHED == _FROM_REMOTE:
                _teach_nothing(PEER_TEACHER)
            elif not taught and not flags & _LEARNING:
                _teach_nothing(PEER)
            else:
                time.sleep(0.005)
    log("agent", "HAProxy has not learnt who sticks to which member, and cannot pass it on")
    return True


def _teach_nothing(name: str) -> None:
    """Be the peer of this name, with nothing to teach; OSError when HAProxy will not have it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(PEER_SOCKET)
        connection.sendall(f"HAProxyS 2.1\n{PEER}\n{name} 1 1\n".encode())
        # A predecessor teaches by itself; others are asked to.
        _await(connection, _SUCCESS if name == PEER else _SUCCESS + _REQUEST)
        connection.sendall(_NOTHING_MORE)
        _await(connection, _CONFIRMED)


def _await(connection: socket.socket, expected: bytes) -> None:
    received = b""
    while len(received) < len(expected):
        chunk = connection.recv(len(expected) - len(received))
        if not chunk:
            break
        received += chunk
    if received != expected:
        raise OSError(f"HAProxy answered {received!r} as a peer")
