"""The HAProxy process: checked, started, replaced, adopted, watched and stopped."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from hydria.amphora import peers, program, workdir
from hydria.amphora.faults import Failed, Refused
from hydria.amphora.limits import Maxconn, Room, fitted_maxconn, share
from hydria.amphora.log import log
from hydria.amphora.retired import Retired
from hydria.amphora.runtime import CommandFailed, Runtime

_FAULT_LENGTH = 1000
_ANSWER_SECONDS = 1.0


class Haproxy:
    """At most one serving process; retired ones finish by themselves (:mod:`.retired`)."""

    def __init__(self, command: str, retired_limit: int, memory_mb: int = 0) -> None:
        self._command = command
        self._memory = share(memory_mb)
        self._retired = Retired(retired_limit)
        self.pid = 0  # 0: none was started, or it was stopped on purpose
        self.maxconn = 0
        self._wanted = 0  # what the configuration of the process asked for in place of it
        self._pidfd = -1
        self._taught = True  # as far as is known, by the process before it
        self._version: tuple[tuple[int, int], str] | None = None

    @property
    def pidfd(self) -> int:
        """Readable once the process has ended; -1 when there is none."""
        return self._pidfd

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def check(self, path: str, config: str) -> None:
        """Have HAProxy read a configuration without starting it; Refused says what is wrong with it."""
        self._run("-c", "-f", path, "-n", str(self._fitted(config).fitted))

    def carries(self, config: str) -> bool:
        """Whether the process may have as many connections as a configuration wants, or the host allows."""
        return self._fitted(config).wanted <= self._wanted or self.maxconn < self._wanted

    def start(self, path: str, config: str) -> None:
        """Start a process with a configuration; the one that runs hands over its sockets and retires.

        When this returns the new one serves; when it raises Refused, the old one still does. Failed: nobody
        knows.
        """
        arguments = ["-D", "-f", path, "-p", workdir.PID, "-n", str(self._fit(config))]
        taught = False
        if self.running:
            taught = peers.finish_learning(taught=self._taught)
            arguments += ["-x", workdir.STATS_SOCKET, "-sf", str(self.pid)]
        else:
            workdir.remove(workdir.STATS_SOCKET)
        try:
            self._run(*arguments)
        except Failed:
            # Whoever was ended may have begun already to let another one serve, which is then to be replaced.
            with suppress(Refused):
                self._watch(self._successor())
                self._taught = taught
            raise
        self._watch(int(workdir.read(workdir.PID) or b"0") or self._successor())
        self._taught = taught
        self._bound_memory()
        self._await_answer()

    def adopt(self, config: str) -> bool:
        """Take over the process that a previous life of the agent started, if it still serves."""
        try:
            with Runtime() as runtime:
                pid = runtime.pid()
                # Opened before it is verified: a pid that is given away later cannot be mistaken for it.
                self._watch(pid)
                if runtime.pid() == pid and Path(f"/proc/{pid}/comm").read_text().strip() == "haproxy":
                    self._fit(config)
                    self._bound_memory()
                    return True
        except (CommandFailed, Refused, OSError, ValueError):
            pass
        self.forget()
        return False

    def stop(self) -> None:
        """Let it finish its connections and end; new ones are refused from now on."""
        if self.running:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGUSR1)
        self.forget()

    def forget(self) -> None:
        """Have no process any more."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self.pid, self._pidfd = 0, -1

    def _watch(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError) as error:
            raise Refused(f"HAProxy ended as soon as it had started: {error}") from error
        if self._pidfd >= 0:
            self._retired.add(self._pidfd)
        self.pid, self._pidfd = pid, pidfd

    def _successor(self) -> int:
        """The new process by its own word: on a full disk, the file with its pid is empty."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            with suppress(CommandFailed), Runtime(_ANSWER_SECONDS) as runtime:
                if (pid := runtime.pid()) not in (0, self.pid):
                    return pid
            time.sleep(0.005)
        raise Refused("HAProxy ended as soon as it had started")

    def _await_answer(self) -> None:
        """Until it is the new process that answers on the stats socket, which both may have for a moment."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise Refused("HAProxy ended as soon as it had started")
            with suppress(CommandFailed), Runtime(_ANSWER_SECONDS) as runtime:
                if runtime.pid() == self.pid:
                    return
            time.sleep(0.005)
        log("agent", f"HAProxy, pid {self.pid}, does not answer on its stats socket")

    def version(self) -> str:
        """HAProxy's own word for the version that starts next, "" when it is not installed.

        Asking takes 5 ms, so it is asked again only once the program is another one.
        """
        found = shutil.which(self._command)
        if found is None:
            return ""
        there = Path(found).stat()
        stamp = there.st_ino, there.st_mtime_ns
        if self._version is None or self._version[0] != stamp:
            try:
                status, said = program.run(self._command, "-v")
            except Failed:
                return ""
            if status:
                return ""
            self._version = stamp, said.split()[2]
        return self._version[1]

    def _run(self, *arguments: str) -> None:
        status, said = program.run(self._command, *arguments)
        if status:
            raise Refused(fault(said))

    def _bound_memory(self) -> None:
        """Have the process get no more memory than its share, beside what it began with.

        Connections are no measure of it: one of HTTP/2 has a hundred requests, with buffers for each. At its
        bound HAProxy refuses connections, or lets them wait, where the kernel would end it with all of them.
        Its own option -m lets in a third of the TLS connections that fit.
        """
        try:
            if resource.prlimit(self.pid, resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
                pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[5])
                most = pages * resource.getpagesize() + self._memory
                resource.prlimit(self.pid, resource.RLIMIT_DATA, (most, most))
        except (OSError, ValueError) as error:
            log("agent", f"the memory of HAProxy, pid {self.pid}, has no bound: {error}")

    def _fit(self, config: str) -> int:
        found = self._fitted(config)
        if found.wanted and found.why and found.fitted != self.maxconn:
            log("agent", f"maxconn {found.wanted} lowered to {found.fitted}: {found.why}")
        self._wanted, self.maxconn = found.wanted, found.fitted
        return found.fitted

    def _fitted(self, config: str) -> Maxconn:
        return fitted_maxconn(config, Room(_open_files(), self._memory))


def _open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def fault(said: str) -> str:
    """The reasons in what HAProxy printed, without pids and generalities."""
    alerts: list[str] = []
    kind = ""
    for line in said.splitlines():
        if line.startswith("["):
            kind, _, text = line.partition(") : ")
            if kind.startswith("[ALERT]"):
                alerts.append(text.strip())
        elif kind.startswith("[ALERT]"):
            alerts[-1] = f"{alerts[-1]} {line.strip()}".strip()  # HAProxy 3 goes on with it, indented
    reasons = [text for text in alerts if "rror(s) found in" not in text and "Fatal errors" not in text]
    return "haproxy: " + ("; ".join(reasons) or said.strip() or "refused without a reason")[:_FAULT_LENGTH]
