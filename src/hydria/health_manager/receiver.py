"""Datagrams in, believed reports out."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hydria.model.errors import Unavailable
from hydria.wire import heartbeat
from hydria.wire.heartbeat import Rejected, Report

LOG = logging.getLogger(__name__)
_REMEMBERED = 100_000  # amphorae whose last sequence number is kept
_GATHER = 0.05  # seconds in which heartbeats gather: to be woken for each costs more than to read it;
_HURRY, _MANY = 0.01, 64  # and after so many at once, when the kernel would soon have no room for them
_PROOF = 1.0  # seconds after which a heartbeat that is not wanted is read to know that one is heard at all
_AGAIN = 1.0  # seconds until it is tried again what the kernel refused
_COMPLAIN_EVERY = 10.0  # seconds between log lines about rejected datagrams


@dataclass(frozen=True, slots=True)
class Received:
    """A report and when it came, in seconds since 1970."""

    report: Report
    at: float


@dataclass(frozen=True, slots=True)
class Last:
    """The latest heartbeat of an amphora that this program has believed; at: in monotonic seconds."""

    epoch: int
    sequence: int
    part: int
    at: float


class Receiver:
    """Listens for heartbeats; :meth:`take` gives each amphora's newest parts since the last call.

    Raises Unavailable when it cannot listen there. It reads those that :attr:`wanted` says yes to.
    """

    def __init__(self, host: str, port: int, master_key: str) -> None:
        self.wanted: Callable[[str], bool] = lambda _amphora_id: True
        self.heard_at = time.monotonic()  # anybody, or when it was made
        self._master = master_key
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._last: OrderedDict[str, Last] = OrderedDict()
        self._waiting: dict[tuple[str, int], Received] = {}
        self._lock = threading.Lock()
        self._complained = 0.0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise Unavailable(
                f"Heartbeats cannot be received on {host}:{port} ([health_manager] bind_ip, bind_port):"
                f" {error.strerror}."
            ) from error
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()
        self._socket.close()

    def take(self) -> list[Received]:
        """What came in since the last call, the newest of each amphora and part."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def last(self, amphora_id: str) -> Last | None:
        """What this program has heard of an amphora last, recorded or not."""
        return self._last.get(amphora_id)

    def _run(self) -> None:
        flags = drained = 0
        while not self._stopped.is_set():
            try:
                datagram, sender = self._socket.recvfrom(65535, flags)
                flags, drained = socket.MSG_DONTWAIT, drained + 1
            except BlockingIOError:
                time.sleep(_GATHER if drained < _MANY else _HURRY)
                flags = drained = 0
                continue
            except OSError:
                if not self._stopped.is_set():
                    LOG.exception("Heartbeats cannot be received")
                    self._stopped.wait(_AGAIN)
                continue
            try:
                self.accept(datagram)
            except Rejected as reason:
                self._complain(str(sender[0]), reason)
            except Exception:
                # Whatever it was: without this thread every amphora would seem dead.
                LOG.exception("A heartbeat from %s could not be read", sender[0])

    def accept(self, datagram: bytes) -> None:
        """Believe a datagram or raise Rejected."""
        amphora_id = heartbeat.amphora_of(datagram)
        if not self.wanted(amphora_id):
            if time.monotonic() - self.heard_at >= _PROOF:
                heartbeat.decode(datagram, self._key(amphora_id))
                self.heard_at = time.monotonic()
            return
        report = heartbeat.decode(datagram, self._key(amphora_id))
        last = self._last.get(amphora_id)
        if last is not None:
            stamp, former = (
                (report.epoch, report.sequence, report.part),
                (last.epoch, last.sequence, last.part),
            )
            if stamp <= former:
                raise Rejected(
                    f"sequence {stamp} of amphora {amphora_id} after {former}: repeated or replayed"
                )
        self.heard_at = time.monotonic()
        self._last[amphora_id] = Last(report.epoch, report.sequence, report.part, self.heard_at)
        self._last.move_to_end(amphora_id)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        with self._lock:
            self._waiting[amphora_id, report.part] = Received(report, time.time())

    def _key(self, amphora_id: str) -> str:
        key = self._keys.get(amphora_id)
        if key is None:
            key = self._keys[amphora_id] = heartbeat.derive_key(self._master, amphora_id)
            if len(self._keys) > _REMEMBERED:
                self._keys.popitem(last=False)
        return key

    def _complain(self, sender: str, reason: Rejected) -> None:
        if time.monotonic() - self._complained > _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            LOG.warning("Heartbeat from %s rejected: %s", sender, reason)
