"""The agent's end of the socket pair to its root part (:mod:`.commands` is the other)."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from hydria.amphora.faults import Refused
from hydria.wire.encoding import encode

_SECONDS = 60


class RootPart:
    """The agent's end: asks the root part, one request at a time."""

    def __init__(self, channel: socket.socket) -> None:
        channel.settimeout(_SECONDS)
        self._channel = channel
        self._replies = channel.makefile("rb")
        self._lock = threading.Lock()

    def ask(self, command: str, arguments: object) -> Any:
        """The result of a command, whose arguments may be dataclasses; Refused with the root part's words.

        A root part that is gone ends the agent (it is its parent), so a broken channel is no case here.
        """
        request = encode({"command": command, "arguments": arguments}) + b"\n"
        with self._lock:
            self._channel.sendall(request)
            reply = json.loads(self._replies.readline())
        if "fault" in reply:
            raise Refused(reply["fault"])
        return reply["result"]
