"""The agent's end of the socket pair to its root part (:mod:`.commands` is the other)."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from hydria.amphora.faults import Failed, Refused
from hydria.wire.encoding import encode

# Longer than the root part lets a program run (:mod:`.program`), so that its word comes first.
SECONDS = 70.0
OVERDUE_SECONDS = 1.0  # who is late already is not waited for as long again
_CHUNK = 1 << 16
_LONGEST_REPLY = 16_000_000  # bytes, as of a request (:mod:`.root`)


class RootPart:
    """The agent's end: asks the root part, one request at a time.

    While an answer is overdue nothing more is asked. Only that answer says that the command is over, and read
    later it would be taken for that of another.
    """

    def __init__(
        self, channel: socket.socket, seconds: float | None = None, overdue_seconds: float = OVERDUE_SECONDS
    ) -> None:
        self._channel = channel
        self._seconds = SECONDS if seconds is None else seconds
        self._overdue_seconds = overdue_seconds
        self._lock = threading.Lock()
        self._overdue = False  # whether the answer to the last request is still to come
        self._unsent = b""  # what is left of that request
        self._received = b""  # what has come of that answer

    def ask(self, command: str, arguments: object) -> Any:
        """The result of a command, whose arguments may be dataclasses.

        Refused with the root part's words; Failed when it broke off, or does not answer in time: it may still
        be done then. A root part that is gone ends the agent (it is its parent), so that is no case here.
        """
        with self._lock:
            if self._overdue:
                self._await(command, self._overdue_seconds)
            self._unsent = encode({"command": command, "arguments": arguments}) + b"\n"
            self._overdue = True
            reply = self._await(command, self._seconds)
        if "fault" in reply:
            raise Refused(reply["fault"])
        if "failure" in reply:
            raise Failed(reply["failure"])
        return reply["result"]

    def _await(self, command: str, seconds: float) -> dict[str, Any]:
        """The answer to the last request, which is sent first, as far as it was not yet."""
        deadline = time.monotonic() + seconds
        try:
            while self._unsent:
                self._patience(deadline)
                self._unsent = self._unsent[self._channel.send(self._unsent) :]
            while b"\n" not in self._received:
                self._patience(deadline)
                self._received += self._heard()
                if len(self._received) > _LONGEST_REPLY:
                    self._received = b""
                    raise Failed(f"{command}: the root part answers more than {_LONGEST_REPLY} bytes")
        except TimeoutError as error:
            raise Failed(f"{command}: the root part does not answer for {seconds:g} s") from error
        line, _, self._received = self._received.partition(b"\n")
        self._overdue = False
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _patience(self, deadline: float) -> None:
        """Have the next call on the channel end in time."""
        self._channel.settimeout(max(0.001, deadline - time.monotonic()))

    def _heard(self) -> bytes:
        received = self._channel.recv(_CHUNK)
        if not received:
            raise Failed("the root part has hung up")
        return received
