"""Telling the health managers, once per interval, what this amphora does and sees."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from hydria.amphora.log import log
from hydria.wire import heartbeat as wire
from hydria.wire.heartbeat import Report


class Sender:
    """Sends reports to every controller; one that cannot be reached is noted once and tried again."""

    def __init__(self, controllers: Iterable[str], key: str) -> None:
        self._key = key
        self._unreachable: set[str] = set()
        self._sockets: dict[int, socket.socket] = {}
        self._controllers: dict[str, tuple[bytes, int]] = {}
        self._sequence = 0
        self.send_to(controllers)

    def send_to(self, controllers: Iterable[str]) -> None:
        """Send to these from now on."""
        self._controllers = {controller: _endpoint(controller) for controller in controllers}

    def sequence(self) -> int:
        """The next sequence number; grows across the agent's lives, because an epoch may outlive one."""
        self._sequence = max(self._sequence + 1, time.monotonic_ns() // 1_000_000)
        return self._sequence

    def send(self, report: Report) -> None:
        """Send one report, in as many datagrams as it takes."""
        datagrams = wire.encode(report, self._key)
        for controller, (host, port) in self._controllers.items():
            try:
                # Bytes, because text would go through the IDNA codec, which is not worth its memory.
                family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
                for datagram in datagrams:
                    self._socket(family).sendto(datagram, address)
            except OSError as error:
                if controller not in self._unreachable:
                    self._unreachable.add(controller)
                    log("agent", f"heartbeats do not reach {controller}: {error}")
            else:
                if controller in self._unreachable:
                    self._unreachable.remove(controller)
                    log("agent", f"heartbeats reach {controller} again")

    def _socket(self, family: int) -> socket.socket:
        if family not in self._sockets:
            self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            self._sockets[family].setblocking(False)
        return self._sockets[family]


def _endpoint(controller: str) -> tuple[bytes, int]:
    """``192.0.2.1:5555``, ``[2001:db8::1]:5555`` or ``name:5555``."""
    host, _, port = controller.rpartition(":")
    return host.strip("[]").encode(), int(port)
