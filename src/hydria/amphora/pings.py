"""Answers HAProxy, which cannot send echo requests itself, whether a member answers them (PING monitors).

Each check of HAProxy's is a connection to a Unix socket that only the amphora's own user can open; it says
the member's name (dataplane/haproxy/check.py). The address comes from the desired state. The member is asked
then, and only then; how often, how long, and how many answers count is HAProxy's business: it hangs up when
the time is over.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hydria.amphora import attempts, workdir
from hydria.amphora.attempts import Attempt, Unaskable
from hydria.amphora.log import Rare, log
from hydria.wire.proxies import PING_END, PING_SOCKET, PING_UP, member_of
from hydria.wire.state import Probe, Server, Target

_PROBE = Probe("PING", delay=1, timeout=1, rise=1, fall=1)  # of which only the kind says anything here
_NAME_LENGTH = 256
_BACKLOG = 1024
_BREATH = 0.1  # seconds until the next look when there are no more descriptors

_not_taken = Rare("agent")


@dataclass(slots=True)
class _Check:
    """One of HAProxy's: first it says whom it means, then it waits for the word."""

    connection: socket.socket
    said: bytes = b""
    attempt: Attempt | None = None


class Pings:
    """Serves the socket, in a thread of its own, from the first state on that needs it."""

    def __init__(self) -> None:
        self._addresses: Mapping[str, str] = {}  # replaced as a whole, for the thread reads it
        self._selector: selectors.BaseSelector | None = None
        self._complaint = ""

    def know(self, *states: Iterable[Server]) -> None:
        """Answer for these servers from now on; of two with the same name for the later one."""
        self._addresses = {each.name: each.pinged for servers in states for each in servers if each.pinged}
        if self._addresses and self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(_listen(), selectors.EVENT_READ)
            threading.Thread(target=self._run, args=(self._selector,), name="pings", daemon=True).start()

    def _run(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select():
                check: _Check | None = key.data
                if check is None:
                    self._accept(selector, key.fileobj)  # type: ignore[arg-type]  # what was registered
                elif check.connection.fileno() < 0:
                    continue  # ended in this very round
                elif check.attempt is not None and key.fileobj is check.attempt.socket:
                    self._proceed(selector, check, check.attempt)
                else:
                    self._hear(selector, check)

    @staticmethod
    def _accept(selector: selectors.BaseSelector, door: socket.socket) -> None:
        try:
            connection, _ = door.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _not_taken(f"a check that pings was not taken: {error}")
            time.sleep(_BREATH)
            return
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, _Check(connection))

    def _hear(self, selector: selectors.BaseSelector, check: _Check) -> None:
        """The name, or HAProxy has hung up."""
        received = b""
        with suppress(OSError):
            received = check.connection.recv(_NAME_LENGTH)
        check.said += received
        if not received or check.attempt is not None or len(check.said) > _NAME_LENGTH:
            _end(selector, check, serves=False)
        elif check.said.endswith(PING_END.encode()):
            self._ask(selector, check)

    def _ask(self, selector: selectors.BaseSelector, check: _Check) -> None:
        name = check.said.decode(errors="replace").removesuffix(PING_END)
        address = self._addresses.get(member_of(name))
        if address is None:
            _end(selector, check, serves=False)
            return
        try:
            check.attempt = attempts.ask(_PROBE, Target(name, address, 1))
        except (Unaskable, OSError) as reason:
            if str(reason) != self._complaint:
                self._complaint = str(reason)
                log("agent", f"members are not pinged: {reason}")
            _end(selector, check, serves=True)  # nothing is known against the member
            return
        selector.register(check.attempt.socket, check.attempt.events, check)
        if check.attempt.start() is not None:
            _end(selector, check, serves=False)

    @staticmethod
    def _proceed(selector: selectors.BaseSelector, check: _Check, attempt: Attempt) -> None:
        try:
            answer = attempt.proceed()
        except BlockingIOError:
            return
        if answer is not None:
            _end(selector, check, serves=answer)


def _end(selector: selectors.BaseSelector, check: _Check, *, serves: bool) -> None:
    """Hanging up without a word is the word against the member."""
    if serves:
        with suppress(OSError):
            check.connection.sendall(PING_UP.encode())
    sockets = [check.connection]
    if check.attempt is not None:
        sockets.append(check.attempt.socket)
    for each in sockets:
        selector.unregister(each)
        each.close()


def _listen() -> socket.socket:
    workdir.remove(PING_SOCKET)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.setblocking(False)
    door.bind(PING_SOCKET)
    door.listen(_BACKLOG)
    return door
