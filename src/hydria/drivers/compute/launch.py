"""Starting amphorae, by way of a process that has what they run ready (:mod:`.fork_server`)."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import hydria
from hydria.drivers import host
from hydria.drivers.compute.interface import AmphoraSpec
from hydria.drivers.compute.order import FORBIDDEN, STARTED, TAKEN, Order, Room, encode
from hydria.model.errors import DriverError, Invalid

_FORK_SERVER = "hydria.drivers.compute.fork_server"
_IDLE = 60.0  # seconds after which the fork server is not worth its memory any more
_SECONDS = 10.0
_LONGEST = 65_536  # bytes of its answer; what it says of a failure
_HIDDEN = Path("/run")


def visible(paths: Iterable[str], haproxy: str) -> list[str]:
    """What an amphora sees of the host besides what all do: what is configured, and where its HAProxy is."""
    found = list(paths)
    if haproxy.startswith("/"):
        found.append(os.path.dirname(haproxy))  # noqa: PTH120  (a text of the settings)
    return found


def check(state_dir: Path, visible: Sequence[str] = ()) -> None:
    """Raise Invalid when the directories that an amphora shall not see hold what it runs on."""
    for path in visible:
        if not path.startswith("/") or path.startswith("/proc") or ".." in path or Path(path) == Path("/"):
            raise Invalid(
                f"[netns] visible_paths, or the directory of haproxy_cmd: '{path}' is not the path of a part"
                " of this host's files that can be shown to amphorae."
            )
    for needed in (Path(sys.prefix), Path(sys.base_prefix), _source(), *map(Path, visible)):
        for hidden in (state_dir.resolve(), _HIDDEN):
            if needed.resolve().is_relative_to(hidden):
                raise Invalid(
                    f"Amphorae do not see {hidden}, but {needed}, which they run on, is below it: set"
                    " [DEFAULT] state_dir to a directory of its own."
                )


def links(spec: AmphoraSpec) -> str:
    """What ``ip -batch`` reads: the agent configures the other interfaces itself, from the desired state."""
    lines = ["link set lo up"]
    for address in spec.lb_network.addresses:
        lines.append(f"addr add {address} dev eth0" + (" nodad" if ":" in address else ""))
    lines += [f"link set eth{number} up" for number in range(1 + len(spec.attachments))]
    return "\n".join(lines)


class Launcher:
    """Has amphorae started; every method may be called from any thread."""

    def __init__(self, idle: float = _IDLE) -> None:
        """``idle``: seconds without an order after which the fork server ends."""
        self._idle = idle
        self._guard = threading.Lock()
        self._server: socket.socket | None = None

    def start(self, order: Order, boot: int) -> None:
        """Start an amphora; returns when its first process lives in its namespace. Raises DriverError.

        boot: a descriptor of its boot directory.
        """
        answer = self._order(order, boot)
        if answer != TAKEN + STARTED:
            raise DriverError(_fault(answer))

    def make(self, room: Room) -> str:
        """Make a room; "" when it is there, and otherwise why the kernel gives none. Raises DriverError."""
        answer = self._order(room)
        if answer == TAKEN + STARTED:
            return ""
        if answer.startswith(TAKEN + FORBIDDEN):
            return answer.removeprefix(TAKEN + FORBIDDEN).decode(errors="replace")
        raise DriverError(_fault(answer))

    def server(self) -> socket.socket:
        """The socket of the fork server, which runs from now on. Raises DriverError."""
        with self._guard:
            if self._server is None or _hung_up(self._server):
                self._server = _start_server(self._idle)
            return self._server

    def _order(self, order: Order | Room, *descriptors: int) -> bytes:
        """What becomes of an order."""
        answer = b""
        for _ in range(2):  # the server may have ended when the order came: it was idle for too long
            answer = _answer(self.server(), order, descriptors)
            if answer:
                break
        return answer


def _fault(answer: bytes) -> str:
    said = answer.removeprefix(TAKEN).decode(errors="replace")
    return said or f"no word from the process that starts amphorae ({_FORK_SERVER})."


def _answer(server: socket.socket, order: Order | Room, descriptors: Sequence[int]) -> bytes:
    """What a fork server says to an order; nothing when it has not taken it."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            socket.send_fds(server, [encode(order)], [theirs, *descriptors])
        except (BrokenPipeError, ConnectionResetError):
            return b""
        finally:
            os.close(theirs)
        return _read_all(ours, time.monotonic() + _SECONDS)
    finally:
        os.close(ours)


def _start_server(idle: float) -> socket.socket:
    """Returns once it has imported what amphorae run; what it says goes where this program's words go."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            subprocess.run(
                [sys.executable, "-S", "-s", "-P", "-m", _FORK_SERVER, str(theirs.fileno()), str(idle)],
                check=True,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env={**host.environment(), "PYTHONPATH": str(_source())},
                timeout=_SECONDS,
            )
        except (subprocess.SubprocessError, OSError) as error:
            ours.close()
            raise DriverError(f"the process that starts amphorae does not start: {error}") from error
    return ours


def _hung_up(server: socket.socket) -> bool:
    """Whether the other end is closed."""
    looking = select.poll()
    looking.register(server, select.POLLHUP)
    return bool(looking.poll(0))


def _read_all(pipe: int, deadline: float) -> bytes:
    """What comes through a pipe until it is closed, enough has come, or time is over."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    said = b""
    while len(said) < _LONGEST and waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        more = os.read(pipe, 4096)
        if not more:
            break
        said += more
    return said


def _source() -> Path:
    """The directory that the package hydria is in."""
    return Path(hydria.__file__).resolve().parent.parent
