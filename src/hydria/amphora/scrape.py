"""Answering ``GET /metrics``, which HAProxy passes on from PROMETHEUS listeners.

HAProxy comes over a Unix socket that only the amphora's own user can open, and brings few requests at a time
(dataplane/haproxy/metrics.py). Without one, all that this costs is the socket. Each has a thread of its own,
so that neither heartbeats nor controllers wait for it, and is passed on piece by piece: a load balancer with
thousands of members has megabytes of metrics.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from hydria.amphora import metrics, workdir
from hydria.amphora.log import Rare
from hydria.amphora.usage import Usage
from hydria.wire.proxies import EXPORTER_SOCKET, METRICS_SOCKET

_SECONDS = 8.0  # of silence, on either side; Prometheus itself waits for 10 at first
_HEAD_LIMIT = 65_536
_PIECE = 32_768
_SCOPES = "&".join(f"scope={scope}" for scope in ("global", "frontend", "backend", "server"))
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
_FAILED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_unanswered = Rare("agent")  # clients of the listener decide how often

# Family -> samples of what HAProxy does not serve (see metrics.renamed).
More = Callable[[], Mapping[str, Sequence[str]]]


class Door:
    """The socket at which HAProxy asks; to be made in the work directory."""

    def __init__(self, more: More = dict) -> None:
        workdir.remove(METRICS_SOCKET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.bind(METRICS_SOCKET)
        self._socket.listen()
        self._more = more
        self._usage = Usage()

    def fileno(self) -> int:
        """Readable when somebody asks."""
        return self._socket.fileno()

    def answer(self) -> None:
        """Have those answered who ask now; does not wait for it."""
        with suppress(BlockingIOError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_SECONDS)
                self._respond(connection)
        except (OSError, http.client.HTTPException) as error:
            _unanswered(f"a scrape of the metrics was not answered: {error!r}")

    def _respond(self, connection: socket.socket) -> None:
        """An answer that fails half-way lacks its end, by which Prometheus knows."""
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(_HEAD_LIMIT)
            head += received
            if not received or len(head) > _HEAD_LIMIT:
                return
        try:
            lines = _exported()
        except (OSError, http.client.HTTPException):
            connection.sendall(_FAILED)
            raise
        connection.sendall(_HEAD)
        told = self._usage.lines()
        for piece in _pieces(told, metrics.renamed(lines, self._more())):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")


def _exported() -> Iterator[str]:
    """The lines of HAProxy's exporter, as they come."""
    exporter = _Exporter("localhost", timeout=_SECONDS)
    exporter.request("GET", f"/metrics?{_SCOPES}")
    answer = exporter.getresponse()
    if answer.status != http.client.OK:
        exporter.close()
        raise http.client.HTTPException(f"HAProxy's exporter answers {answer.status}")
    return _lines(exporter, answer)


def _lines(exporter: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[str]:
    try:
        for line in answer:
            yield line.decode("ascii", "replace")
    finally:
        exporter.close()


class _Exporter(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(EXPORTER_SOCKET)


def _pieces(*parts: Iterable[str]) -> Iterator[bytes]:
    piece, size = [], 0
    for part in parts:
        for line in part:
            piece.append(line)
            size += len(line)
            if size >= _PIECE:
                yield "".join(piece).encode()
                piece, size = [], 0
    if piece:
        yield "".join(piece).encode()
