"""Load on a VIP until standard input closes; then one line of JSON: requests and failures.

``python -m bench.load ADDRESS RATE`` sends RATE requests a second over 8 kept connections, and a request on a
new connection every 10 ms besides.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

_KEPT = 8


class Load:
    def __init__(self, address: str, rate: float) -> None:
        self.address = address
        self.rate = rate
        self.stopped = threading.Event()
        self.requests = {"kept": 0, "new": 0}
        self.failures: list[str] = []

    def ask(self, connection: socket.socket) -> None:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(4096)
            if not chunk:
                raise ConnectionError("closed before an answer")
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head.splitlines()[0].decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(4096)

    def kept(self) -> None:
        connection = socket.create_connection((self.address, 80), timeout=5)
        due = time.monotonic()
        while not self.stopped.is_set():
            try:
                self.ask(connection)
                self.requests["kept"] += 1
            except OSError as error:
                self.failures.append(f"kept: {error!r}")
                connection.close()
                connection = socket.create_connection((self.address, 80), timeout=5)
            due += _KEPT / self.rate
            time.sleep(max(0.0, due - time.monotonic()))

    def new(self) -> None:
        while not self.stopped.is_set():
            try:
                with socket.create_connection((self.address, 80), timeout=5) as connection:
                    self.ask(connection)
                self.requests["new"] += 1
            except OSError as error:
                self.failures.append(f"new: {error!r}")
            time.sleep(0.01)


def main() -> None:
    load = Load(sys.argv[1], float(sys.argv[2]))
    threads = [threading.Thread(target=load.kept, daemon=True) for _ in range(_KEPT)]
    threads.append(threading.Thread(target=load.new, daemon=True))
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    load.stopped.set()
    for thread in threads:
        thread.join(6)
    print(
        json.dumps({"requests": load.requests, "failures": load.failures[:20], "failed": len(load.failures)})
    )


if __name__ == "__main__":
    main()
