"""HAProxy's runtime API: one command after another over the stats socket (management guide, section 9.3)."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from hydria.amphora import workdir

_SECONDS = 5.0
_PROMPT = b"\n> "
# Bytes of an answer: statistics of ten thousand servers are a tenth of it.
_LONGEST = 64 * 1024 * 1024


class CommandFailed(Exception):  # noqa: N818  (HAProxy's word against ours; the caller has another way)
    """HAProxy refused a command, or does not answer; the text says which and why."""


class Runtime:
    """A conversation with the HAProxy process that answers on the stats socket.

    Open one for a few commands and close it: an open one keeps a retiring process alive.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(workdir.STATS_SOCKET)
            self._socket.sendall(b"prompt\n")
            self._until_prompt()
        except OSError as error:
            self._socket.close()
            raise CommandFailed(f"HAProxy does not answer: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, command: str) -> str:
        """What HAProxy says to a command."""
        return self._exchange(command, 1)

    def ask_at_once(self, *commands: str) -> list[str]:
        """What HAProxy says to each of some commands, with as little as can be between them."""
        # Lines of their own: with semicolons in between, newer versions prompt only once for all of them.
        said = self._exchange("\n".join(commands), len(commands))
        return [answer.strip() for answer in said.split(_PROMPT.decode())]

    def give(self, command: str, text: str) -> str:
        """What HAProxy says to a command with a text, which must have no empty line."""
        answer = self.ask(f"{command} <<\n{text.rstrip()}\n")
        return re.sub(r"^(\+ )+", "", answer).strip()  # its prompt for each line

    def tell(self, command: str, expected: Sequence[str] = ("",)) -> None:
        """Give an order; anything but one of the expected answers is a failure."""
        answer = self.ask(command).strip()
        if answer not in expected:
            raise CommandFailed(f"{command}: {answer[:500]}")

    def pid(self) -> int:
        """The pid of the process that answers."""
        for line in self.ask("show info").splitlines():
            if line.startswith("Pid: "):
                return int(line.removeprefix("Pid: "))
        return 0

    def _exchange(self, line: str, prompts: int) -> str:
        try:
            self._socket.sendall(line.encode() + b"\n")
            return self._until_prompt(prompts)
        except OSError as error:
            raise CommandFailed(f"{line.split(maxsplit=1)[0]}: {error}") from error

    def _until_prompt(self, times: int = 1) -> str:
        received = bytearray()
        while not received.endswith(_PROMPT) or received.count(_PROMPT) < times:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise OSError("HAProxy closed the connection")
            received += chunk
            if len(received) > _LONGEST:
                raise OSError(f"HAProxy has said more than {_LONGEST} bytes")
        return received[: -len(_PROMPT)].decode(errors="replace")
