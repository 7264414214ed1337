"""``python -m bench.latency ADDRESS SECONDS``: p50 and p99, ms, of 400 requests a second on kept connections.

Measured from when a request was due, so that one that had to wait for another counts with its wait.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import threading
import time

_CONNECTIONS, _RATE = 4, 400


def ask(address: str, seconds: float, found: list[float]) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    due = began = time.monotonic()
    while due - began < seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        found.append(time.monotonic() - due)
        due += _CONNECTIONS / _RATE


def main() -> None:
    found: list[float] = []
    workers = [
        threading.Thread(target=ask, args=(sys.argv[1], float(sys.argv[2]), found))
        for _ in range(_CONNECTIONS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    hundredths = statistics.quantiles(found, n=100)
    print(hundredths[49] * 1000, hundredths[98] * 1000, len(found))


if __name__ == "__main__":
    main()
