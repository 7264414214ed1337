"""The API on a socket, asked by hand: what strangers send is not what clients can be brought to send."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

Answer = tuple[int, dict[str, Any], http.client.HTTPMessage]


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def answer(client: socket.socket) -> Answer:
    """Status, body and headers of the next answer."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, json.loads(response.read()), response.headers


def is_over(client: socket.socket, during: Callable[[], object] = lambda: None) -> bool:
    """Whether the other side ends the connection; ``during`` is done now and then meanwhile."""
    client.settimeout(0.2)
    for _ in range(75):
        try:
            during()
            if not client.recv(65536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
