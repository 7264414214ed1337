"""How a request and its answer go over a driver agent's socket (contract 3.4).

Both ways alike: the length of what follows in bytes, as a decimal number in ASCII, a line feed, then that
many bytes of JSON. A connection carries one request.
"""

from __future__ import annotations

import socket
import time

# A status report on everything below a load balancer with 20,000 members takes 3 MB.
LONGEST = 8 * 1024 * 1024
_MOST_DIGITS = 10
_CHUNK = 65536

# What DriverLibrary cannot take for a length: its get_* methods raise DriverError at once. The protocol has
# no other word for a look-up that failed: {} means that there is no such object, and a connection that is
# closed without an answer keeps the client waiting for half a minute.
FAILURE = b"failed\n"


class Malformed(ValueError):  # noqa: N818  (what a request is)
    """The other side does not keep to the format; the text says how."""


def receive(connection: socket.socket, seconds: float) -> bytes:
    """The body of the one request of a connection.

    Raises Malformed, EOFError when the other side closes before it has sent all, TimeoutError when that takes
    longer than ``seconds`` altogether.
    """
    deadline = time.monotonic() + seconds
    received = bytearray()
    while b"\n" not in received[: _MOST_DIGITS + 1]:
        if len(received) > _MOST_DIGITS:
            raise Malformed("A request starts with its length in bytes and a line feed.")
        received += _more(connection, deadline, _MOST_DIGITS + 1)
    line, _, body = bytes(received).partition(b"\n")
    if not line.isdigit():
        raise Malformed("A request starts with its length in bytes and a line feed.")
    length = int(line)
    if length > LONGEST:
        raise Malformed(f"A request may be {LONGEST} bytes long, not {length}; split it.")
    received = bytearray(body)
    while len(received) < length:
        received += _more(connection, deadline, length - len(received))
    return bytes(received[:length])


def send(connection: socket.socket, body: bytes, seconds: float) -> None:
    """Send an answer; OSError when the other side does not take it within ``seconds``."""
    connection.settimeout(seconds)
    connection.sendall(b"%d\n%s" % (len(body), body))


def send_failure(connection: socket.socket, seconds: float) -> None:
    """Say that there is no answer."""
    connection.settimeout(seconds)
    connection.sendall(FAILURE)


def _more(connection: socket.socket, deadline: float, most: int) -> bytes:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
    chunk = connection.recv(min(most, _CHUNK))
    if not chunk:
        raise EOFError
    return chunk
