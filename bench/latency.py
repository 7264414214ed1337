"""``python -m bench.latency ADDRESS SECONDS [PROCESSOR]``: p50 and p99, ms, of 400 requests a second.

They go over kept connections, from the processor with this number, or from any.

Measured from when a request was due, so that one that had to wait for another counts with its wait. All in
one thread, on sockets: what the client computes itself would count as the load balancer's.
"""

from __future__ import annotations

import os
import re
import select
import socket
import statistics
import sys
import time

_CONNECTIONS, _RATE = 4, 400
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Connection:
    """One connection, with a request due every so often."""

    def __init__(self, address: str, due: float) -> None:
        self.due = due
        self.waits = False
        self.socket = socket.create_connection((address, 80), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        self._got = b""

    def ask(self) -> None:
        """Send the request that is due."""
        self.socket.sendall(self._request)
        self.waits = True

    def take(self) -> bool:
        """Read what has come; whether the answer is whole."""
        data = self.socket.recv(65536)
        assert data, "the connection was closed"
        self._got += data
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not ended:
            return False
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = _LENGTH.search(head)
        assert length, head
        if len(body) < int(length[1]):
            return False
        self._got, self.waits = b"", False
        return True


def measure(address: str, seconds: float) -> list[float]:
    """Seconds from when each request was due to its answer's end."""
    found: list[float] = []
    began = time.monotonic()
    every = [Connection(address, began + number / _RATE) for number in range(_CONNECTIONS)]
    by_socket = {one.socket: one for one in every}
    while True:
        now = time.monotonic()
        idle = [one for one in every if not one.waits]
        for one in idle:
            if one.due <= now < began + seconds:
                one.ask()
        waiting = [one.socket for one in every if one.waits]
        if not waiting and now >= began + seconds:
            return found
        pause = min((one.due for one in every if not one.waits), default=now + 10) - now
        ready, _, _ = select.select(waiting, (), (), max(0.0, pause) if now < began + seconds else 10)
        for readable in ready:
            one = by_socket[readable]
            if one.take():
                found.append(time.monotonic() - one.due)
                one.due += _CONNECTIONS / _RATE


def main() -> None:
    if len(sys.argv) > 3:
        os.sched_setaffinity(0, {int(sys.argv[3])})
    hundredths = statistics.quantiles(found := measure(sys.argv[1], float(sys.argv[2])), n=100)
    print(hundredths[49] * 1000, hundredths[98] * 1000, len(found))


if __name__ == "__main__":
    main()
