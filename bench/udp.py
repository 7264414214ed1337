"""``python -m bench.udp ADDRESS PORT SECONDS``: answered datagrams a second of a closed loop of 64 flows.

Each flow sends when it has its answer; a lost one is given up after a tenth of a second.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

_FLOWS = 64


def main() -> None:
    address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(_FLOWS)]
    for flow in flows:
        flow.connect((address, port))
        flow.settimeout(0.1)
    answered, began = 0, time.monotonic()
    while (took := time.monotonic() - began) < seconds:
        for flow in flows:
            with suppress(ConnectionRefusedError):
                flow.send(b"ping")
        for flow in flows:
            with suppress(TimeoutError, ConnectionRefusedError):
                flow.recv(100)
                answered += 1
    print(answered / took)


if __name__ == "__main__":
    main()
