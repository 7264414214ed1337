"""Sending the agent's own log to the operator's receivers (contract 4.12), besides or instead of writing it.

Whoever logs only leaves a line in a queue. When receivers are slower, or away, the oldest lines give way.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress

from hydria.wire.logs import LONGEST, TCP, Syslog, endpoint

THREAD = "log offload"
_NOTICE = 5
_LOCAL0 = 16
_CONNECT_SECONDS = 3.0
_SEND_SECONDS = 5.0
_HOME = 10  # attempts' time after which a later receiver gives way to the first one, if that is back


class Offload:
    """The lines on their way out. One thread, which ends with :meth:`stop`."""

    def __init__(self, name: str, logs: Syslog) -> None:
        self._name = name
        self._logs = logs
        self._lines: deque[str] = deque(maxlen=logs.queue)
        self._work = threading.Condition()
        self._stopped = False
        self._way: _Datagrams | _Stream = _Stream(logs) if logs.protocol == TCP else _Datagrams(logs)
        threading.Thread(target=self._run, name=THREAD, daemon=True).start()

    def put(self, text: str) -> None:
        """Have a line sent; does not wait."""
        with self._work:
            self._lines.append(self._record(text))
            self._work.notify()

    def stop(self) -> None:
        """Send no more."""
        with self._work:
            self._stopped = True
            self._work.notify()

    def _record(self, text: str) -> str:
        """RFC 3164, section 4.1; what ends a line is not let into one."""
        now = time.gmtime()
        stamp = f"{time.strftime('%b', now)} {now.tm_mday:2d} {time.strftime('%H:%M:%S', now)}"
        priority = (_LOCAL0 + self._logs.facility) * 8 + _NOTICE
        safe = "".join(character if character.isprintable() else " " for character in text)
        return f"<{priority}>{stamp} {self._name} amphora-agent[{os.getpid()}]: {safe}"

    def _run(self) -> None:
        while (line := self._next()) is not None:
            data = line.encode(errors="replace")[:LONGEST]
            while not self._way.send(data):
                with self._work:
                    if self._stopped:
                        break
                    self._work.wait_for(lambda: self._stopped, self._logs.retry_interval)
        self._way.close()

    def _next(self) -> str | None:
        with self._work:
            self._work.wait_for(lambda: self._stopped or self._lines)
            return None if self._stopped else self._lines.popleft()


class _Datagrams:
    def __init__(self, logs: Syslog) -> None:
        self._address = endpoint(logs.targets[0])
        self._socket = socket.socket(_family(self._address[0]), socket.SOCK_DGRAM)

    def send(self, data: bytes) -> bool:
        """Nobody knows whether it arrives."""
        with suppress(OSError):
            self._socket.sendto(data, self._address)
        return True

    def close(self) -> None:
        self._socket.close()


class _Stream:
    def __init__(self, logs: Syslog) -> None:
        self._logs = logs
        self._addresses = [endpoint(target) for target in logs.targets]
        self._socket: socket.socket | None = None
        self._until = 0.0  # when to look whether the first receiver is back

    def send(self, data: bytes) -> bool:
        """Whether a receiver has taken it."""
        if self._socket is not None and (_ended(self._socket) or self._go_home()):
            self.close()
        if self._socket is None:
            self._connect()
        try:
            if self._socket is not None:
                self._socket.sendall(data + b"\n")
                return True
        except OSError:
            self.close()
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> None:
        for number, address in enumerate(self._addresses):
            with suppress(OSError):
                self._socket = _connected(address)
                wait = self._logs.retry_interval * _HOME if number else float("inf")
                self._until = time.monotonic() + wait
                return

    def _go_home(self) -> bool:
        if time.monotonic() < self._until:
            return False
        self._until = time.monotonic() + self._logs.retry_interval * _HOME
        with suppress(OSError), _connected(self._addresses[0]):
            return True
        return False


def _connected(address: tuple[str, int]) -> socket.socket:
    """Not by ``socket.create_connection``, which loads the IDNA codec even for addresses."""
    connection = socket.socket(_family(address[0]), socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(address)
        connection.settimeout(_SEND_SECONDS)
    except OSError:
        connection.close()
        raise
    return connection


def _ended(connection: socket.socket) -> bool:
    """Whether the receiver has closed it; receivers say nothing otherwise."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    try:
        return bool(poll.poll(0)) and not connection.recv(4096)
    except OSError:
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
