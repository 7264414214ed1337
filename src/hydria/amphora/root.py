"""The root part of an amphora: prepares its namespace, keeps the agent alive, does what needs root.

In a namespace amphora it is PID 1: it reaps whatever ends, and everything ends with it. It never reads what
the unprivileged side writes to disk, and talks to nobody but its agent (:mod:`.commands`).
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from hydria.amphora import kernel, seccomp
from hydria.amphora.log import log
from hydria.wire.boot import Boot

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BACK_OFF = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)  # seconds before each further start of an agent that dies young
_GROWN_UP = 30.0  # seconds after which an agent's death is a new story
_STOP_SECONDS = 1.0
_REQUEST_LIMIT = 16_000_000  # bytes; a ruleset with a hundred thousand addresses has 2 MB


def run(boot_dir: Path) -> int:
    """Run an amphora until SIGTERM; returns the exit status."""
    os.umask(0o077)
    os.environ["PATH"] = _PATH
    boot_dir = boot_dir.absolute()
    boot = Boot.read(boot_dir)
    work = boot_dir / "work"
    work.mkdir(exist_ok=True)
    os.chown(work, boot.user, boot.user, follow_symlinks=False)
    work = kernel.own_mounts(work, boot.user)
    kernel.own_name(f"amphora-{boot.amphora_id}")
    kernel.adopt_orphans()
    kernel.prepare_network(boot.user)
    kernel.raise_open_files()
    kernel.keep_capabilities()
    seccomp.confine()
    gc.freeze()  # what is shared with the agent stays shared
    _Supervisor(boot, boot_dir, work).run()
    return 0


class _Supervisor:
    def __init__(self, boot: Boot, boot_dir: Path, work: Path) -> None:
        self._boot = boot
        self._boot_dir = boot_dir
        self._work = work
        self._selector = selectors.DefaultSelector()
        self._agent = 0  # its pid, 0 while there is none
        self._channel: socket.socket | None = None
        self._request = b""  # what has come of the agent's next request
        self._started_at = 0.0
        self._deaths = 0
        self._stopping = False
        self._answer: Callable[[bytes], bytes]

    def run(self) -> None:
        wakeup = self._watch_signals()
        self._start_agent()
        # Only now: the agent starts the sooner for it, and has no use for it.
        from hydria.amphora import closed, commands  # noqa: PLC0415  (see above)

        # Before the agent gets the addresses that it asks for, so before anything serves.
        closed.close(self._boot.closed, self._boot.opened)
        self._answer = commands.Commands(self._boot.bind_host).answer
        while not self._stopping:
            wait = self._until_start()
            if wait == 0:
                self._start_agent()
                wait = None
            for key, _ in self._selector.select(wait):
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
                else:
                    self._serve()
            self._reap()
        self._stop()

    def _watch_signals(self) -> socket.socket:
        """Make SIGTERM, SIGINT and the end of a child wake the loop."""
        wakeup, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._selector.register(wakeup, selectors.EVENT_READ)
        return wakeup

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _until_start(self) -> float | None:
        """Seconds until an agent is to be started, None while one runs."""
        if self._agent:
            return None
        back_off = _BACK_OFF[min(self._deaths, len(_BACK_OFF) - 1)]
        return max(0.0, self._started_at + back_off - time.monotonic())

    def _start_agent(self) -> None:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._selector.close()
            self._become_agent(theirs, parent)
        theirs.close()
        ours.settimeout(_STOP_SECONDS)  # an agent that does not take its answer is not waited for
        self._agent, self._channel, self._request = pid, ours, b""
        self._started_at = time.monotonic()
        self._selector.register(ours, selectors.EVENT_READ)

    def _become_agent(self, channel: socket.socket, parent: int) -> None:
        """In the forked child: run the agent, never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the root part, which ends us
            # Only now, in the child: the root part needs neither TLS nor HTTP.
            from hydria.amphora import agent, root_part  # noqa: PLC0415  (see above)

            agent.run(self._boot, self._boot_dir, self._work, root_part.RootPart(channel), parent)
            status = 0
        except BaseException as error:  # noqa: BLE001  (the last stop before the process ends)
            log("agent", f"failed: {error!r}")
        finally:
            os._exit(status)

    def _serve(self) -> None:
        """Read from the agent and answer each complete request."""
        assert self._channel is not None
        try:
            received = self._channel.recv(1 << 20)
            *lines, self._request = (self._request + received).split(b"\n")
            for line in lines:
                self._channel.sendall(self._answer(line))
        except OSError as error:
            log("root", f"lost the agent: {error}")
            received = b""
        if not received or len(self._request) > _REQUEST_LIMIT:
            self._hang_up()

    def _hang_up(self) -> None:
        """Take no more requests; an agent without its root part is of no use."""
        if self._channel:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None
        if self._agent:
            os.kill(self._agent, signal.SIGKILL)

    def _reap(self) -> None:
        """Bury every child that has ended: the agent, and whatever was handed to us."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._agent:
                    self._agent = 0
                    self._hang_up()
                    if time.monotonic() - self._started_at > _GROWN_UP:
                        self._deaths = 0
                    else:
                        self._deaths += 1
                    again = "" if self._stopping else "; starting it again"
                    log("root", f"the agent ended ({_how(ended[1])}){again}")

    def _stop(self) -> None:
        """End the children: HAProxy finishes what it is at, but not for long."""
        for pid in kernel.children():
            _send(pid, signal.SIGTERM if pid == self._agent else signal.SIGUSR1)
        deadline = time.monotonic() + _STOP_SECONDS
        while (pids := kernel.children()) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        for pid in pids:
            _send(pid, signal.SIGKILL)
        log("root", "stopped")


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"
