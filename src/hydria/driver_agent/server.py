"""A Unix stream socket on which provider drivers ask, one request for each connection.

Threads serve it, not a process for each request as upstream: they share the pool of database connections, so
that a request costs its statements rather than a fork and a log-in; and a process that has threads, as
``hydria all`` has, must not fork. Their number is bounded; who comes when all are busy waits in the kernel's
line, as upstream.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hydria.driver_agent import framing
from hydria.model.errors import Conflict, Unavailable

LOG = logging.getLogger(__name__)

_BACKLOG = 128
# Whoever may write to it: the drivers run in the API program, as the same user or one of its group.
_MODE = 0o660
_PAUSE = 0.5  # seconds after which accepting is tried again when the process has no open files left


@dataclass(frozen=True, slots=True)
class Limits:
    """seconds: for receiving a request, and as many again for sending the answer. most: requests at a time.

    warning: the share of ``most`` from which on a warning is logged.
    """

    seconds: float
    most: int
    warning: float


class SocketServer:
    """Serves ``answer`` at ``path``: a function from a request's body to the answer's.

    When it raises, or a request cannot be read, ``apology`` makes the answer of the fault's text; without one
    the client hears that there is no answer.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        answer: Callable[[bytes], bytes],
        limits: Limits,
        apology: Callable[[str], bytes] | None = None,
    ) -> None:
        self._name = name
        self._path = path
        self._answer = answer
        self._apology = apology
        self._limits = limits
        self._slots = threading.BoundedSemaphore(limits.most)
        self._busy = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(limits.most, thread_name_prefix=f"driver-agent-{name}-request")
        self._listening: socket.socket | None = None
        self._inode = 0
        self._thread = threading.Thread(target=self._run, name=f"driver-agent-{name}", daemon=True)

    def start(self) -> None:
        """Bind and serve; Conflict when another driver agent does, Unavailable when it cannot."""
        try:
            self._listening = self._bind()
        except OSError as error:
            raise Unavailable(
                f"The driver agent cannot listen on {self._path}"
                f" ([driver_agent] {self._name}_socket_path): {error.strerror or error}."
            ) from error
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, and finish what has begun."""
        self._stopped.set()
        if self._listening is None:
            return
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._thread.join(2 * _PAUSE)
        self._listening.close()
        self._threads.shutdown(wait=True)

    def _bind(self) -> socket.socket:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if _answers(self._path):
            raise Conflict(
                f"Another driver agent listens on {self._path}; stop it, or choose another path"
                f" ([driver_agent] {self._name}_socket_path)."
            )
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        staged = f".{self._path.name}.{os.getpid()}"
        try:
            # Moved into place when it is ready, over what a killed one may have left.
            with _short(self._path.parent) as directory:
                listening.bind(f"{directory}/{staged}")
            (self._path.parent / staged).chmod(_MODE)
            listening.listen(_BACKLOG)
            (self._path.parent / staged).rename(self._path)
        except BaseException:
            listening.close()
            (self._path.parent / staged).unlink(missing_ok=True)
            raise
        self._inode = self._path.stat().st_ino
        return listening

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._slots.acquire(timeout=_PAUSE):
                continue
            connection = self._accept()
            if connection is None:
                self._slots.release()
                continue
            self._note(1)
            try:
                self._threads.submit(self._serve, connection)
            except RuntimeError:  # stopped meanwhile
                connection.close()
                self._slots.release()

    def _accept(self) -> socket.socket | None:
        assert self._listening is not None  # the thread starts after it
        try:
            return self._listening.accept()[0]
        except OSError as error:
            if not self._stopped.is_set():
                LOG.warning("The %s socket cannot accept a connection: %s", self._name, error)
                self._stopped.wait(_PAUSE)
            return None

    def _note(self, more: int) -> None:
        """Count the requests that are being served, and warn when there are many."""
        threshold = self._limits.warning * self._limits.most
        with self._guard:
            before, self._busy = self._busy, self._busy + more
            crossed = before < threshold <= self._busy
        if crossed:
            LOG.warning(
                "%d of %d requests at a time are being served at the %s socket"
                " ([driver_agent] %s_max_processes)",
                before + more, self._limits.most, self._name, self._name,
            )  # fmt: skip

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._converse(connection)
        except Exception:
            LOG.exception("A request at the %s socket broke off", self._name)
        finally:
            self._note(-1)
            self._slots.release()

    def _converse(self, connection: socket.socket) -> None:
        try:
            body = self._reply(connection)
            if body is None:
                framing.send_failure(connection, self._limits.seconds)
            else:
                framing.send(connection, body, self._limits.seconds)
        except (OSError, EOFError) as error:
            LOG.warning(
                "A client of the %s socket went away, or took too long: %s",
                self._name, error or type(error).__name__,
            )  # fmt: skip

    def _reply(self, connection: socket.socket) -> bytes | None:
        try:
            request = framing.receive(connection, self._limits.seconds)
        except framing.Malformed as fault:
            LOG.warning("A request at the %s socket is malformed: %s", self._name, fault)
            return self._apologize(str(fault))
        try:
            return self._answer(request)
        except Exception as error:
            LOG.exception("A request at the %s socket failed", self._name)
            return self._apologize(f"The driver agent failed: {type(error).__name__}; its log has more.")

    def _apologize(self, fault: str) -> bytes | None:
        return None if self._apology is None else self._apology(fault)


def _answers(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _short(path.parent) as directory:
        probe.settimeout(1.0)
        try:
            probe.connect(f"{directory}/{path.name}")
        except TimeoutError:
            return True
        except OSError as error:
            return error.errno == errno.EAGAIN  # its line is full
        return True


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """A short name of a directory: the address of a socket has room for 107 bytes."""
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
