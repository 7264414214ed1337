"""The unprivileged agent: answers controllers, keeps HAProxy running, sends heartbeats.

Forked by the root part (:mod:`.root`). What needs root is done first: reading the boot directory's secrets,
binding the API. Everything is imported by then, too, because the agent may not be able to read the
interpreter's directory afterwards. The main thread waits for whatever comes first: a change, HAProxy's
end, a deadline.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
import traceback
from pathlib import Path

import hydria
from hydria.amphora import kernel, rest
from hydria.amphora.apply import Applier
from hydria.amphora.faults import Failed, Refused
from hydria.amphora.heartbeat import Sender
from hydria.amphora.log import direct, log
from hydria.amphora.offload import Offload
from hydria.amphora.root_part import RootPart
from hydria.amphora.scrape import Door
from hydria.wire import capabilities
from hydria.wire.boot import Boot
from hydria.wire.heartbeat import Report
from hydria.wire.logs import Syslog
from hydria.wire.state import Heartbeats

_BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before each further start of an HAProxy that dies young
_GROWN_UP = 10.0  # seconds after which HAProxy's death is a new story
_MEND = 5.0  # seconds between attempts to set back what a failed change has left
_SWEEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between attempts to delete servers
_ANNOUNCE_AGAIN = 1.0
_BEATS = 0.25  # seconds that lie between two heartbeats, however much changes: each looks at all counters
_TIDY = 1.0  # seconds after the last of several changes until the memory that they took is given back
_LEVEL = 1.0  # seconds between looks at who has the fewest flows,
_LEVEL_REST = 20  # or so many times what a look takes


def run(boot: Boot, boot_dir: Path, work: Path, root: RootPart, parent: int) -> None:
    """Be the agent until SIGTERM; does not return otherwise."""
    server = rest.Server((boot.bind_host, boot.bind_port), rest.tls(boot_dir))
    kernel.drop_privileges(boot.user)
    os.chdir(work)
    kernel.end_with_parent(parent, signal.SIGKILL)
    try:
        _Agent(boot, root).run(server)
    except Exception:
        log("agent", traceback.format_exc())
        raise


class _Agent:
    def __init__(self, boot: Boot, root: RootPart) -> None:
        self._boot = boot
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._applier = Applier(root, boot, self._wake)
        self._door = Door(self._applier.datagram_metrics)
        self._sender = Sender(boot.controllers, boot.heartbeat_key)
        self._heartbeats = Heartbeats(boot.controllers, boot.heartbeat_interval)
        self._logs: Syslog | None = None
        self._offload: Offload | None = None
        self._began = time.monotonic()
        self._beat_at = self._beaten_at = 0.0
        self._sweep_at = self._announce_at = self._tidy_at = float("inf")
        self._level_at = 0.0
        self._sweeps = 0
        self._revive_at = self._mend_at = 0.0
        self._revived_at = 0.0
        self._deaths = 0

    def run(self, server: rest.Server) -> None:
        self._applier.recover()
        server.serve(rest.Service(self._applier.apply, lambda: self._applier.generation, self._info))
        log("agent", f"serving on {self._boot.bind_host}:{self._boot.bind_port}")
        self._mind_what_is_told()
        while True:
            self._wait()
            now = time.monotonic()
            if not self._applier.healthy:
                self._revive(now)
            if self._applier.owes and now >= self._mend_at:
                self._mend_at = now + _MEND
                self._mend()
            if now >= self._sweep_at:
                self._sweep(now)
            if now >= self._level_at:
                self._level(now)
            if now >= self._announce_at:
                self._announce_at = float("inf")
                self._applier.announce_again()
            if now >= self._tidy_at:
                self._tidy_at = float("inf")
                gc.collect()  # of its own alone: what is shared with who it was forked from is frozen
                kernel.trim_memory()
            if now >= self._beat_at:
                self._beat_at, self._beaten_at = now + self._heartbeats.interval, now
                self._beat()

    def _wait(self) -> None:
        """Until something has changed, HAProxy has ended, or something is due."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._door, select.POLLIN)
        due = min(self._beat_at, self._sweep_at, self._level_at, self._announce_at, self._tidy_at)
        if self._applier.healthy:
            if self._applier.haproxy.pidfd >= 0:
                poll.register(self._applier.haproxy.pidfd, select.POLLIN)
        else:
            due = min(due, self._revive_at)
        if self._applier.owes:
            due = min(due, self._mend_at)
        events = [descriptor for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)]
        if self._door.fileno() in events:
            self._door.answer()
        if self._wakeup in events:
            os.eventfd_read(self._wakeup)
            self._mind_what_is_told()
            now = time.monotonic()
            self._beat_at = max(now, self._beaten_at + _BEATS)
            self._sweep_at, self._sweeps = now + _SWEEPS[0], 0
            self._level_at = now + _LEVEL
            self._announce_at = now + _ANNOUNCE_AGAIN
            self._tidy_at = now + _TIDY

    def _wake(self) -> None:
        """Something was applied: tell it at once, clean up after it."""
        os.eventfd_write(self._wakeup, 1)

    def _revive(self, now: float) -> None:
        """Start HAProxy again, the more slowly the more often it dies."""
        if now < self._revive_at:
            return
        self._deaths = 0 if now - self._revived_at > _GROWN_UP else self._deaths + 1
        self._revived_at = now
        self._revive_at = now + _BACK_OFF[min(self._deaths + 1, len(_BACK_OFF) - 1)]
        try:
            self._applier.revive()
        except (Refused, Failed, OSError) as refusal:
            log("agent", f"HAProxy does not start: {refusal}")

    def _mend(self) -> None:
        """Set back what a change has left that failed."""
        try:
            self._applier.mend()
        except (Refused, Failed, OSError) as failure:
            log("agent", f"not as before yet: {failure}")

    def _sweep(self, now: float) -> None:
        self._sweeps += 1
        waiting = self._applier.sweep()
        pause = _SWEEPS[min(self._sweeps, len(_SWEEPS) - 1)]
        self._sweep_at = now + pause if waiting else float("inf")

    def _level(self, now: float) -> None:
        """Look after the services that send new flows to who has the fewest."""
        again = self._applier.level()
        pause = max(_LEVEL, _LEVEL_REST * (time.monotonic() - now))
        self._level_at = now + pause if again else float("inf")

    def _mind_what_is_told(self) -> None:
        self._mind_heartbeats()
        self._mind_logs()

    def _mind_heartbeats(self) -> None:
        """Send them where the applied state says, from the next one on."""
        told = self._applier.heartbeats
        if told is not None and told != self._heartbeats:
            self._heartbeats = told
            self._sender.send_to(told.controllers)
            log("agent", f"heartbeats go to {', '.join(told.controllers)} every {told.interval:g} s")

    def _mind_logs(self) -> None:
        """Have the log go where the applied state says."""
        told = self._applier.logs
        if told == self._logs:
            return
        former, self._logs = self._offload, told
        self._offload = Offload(f"amphora-{self._boot.amphora_id}", told) if told else None
        direct(self._offload.put if self._offload else None, here=told is None or told.keep)
        if former:
            former.stop()
        where = f"to {told.targets[0]}, {told.protocol}" if told else "nowhere else any more"
        log("agent", f"the log goes {where}")

    def _beat(self) -> None:
        # First: a state that is applied meanwhile must not be said to have been looked at.
        generation = self._applier.generation
        listeners, seen = self._applier.statistics(self._heartbeats.interval / 2)
        self._sender.send(
            Report(
                amphora_id=self._boot.amphora_id,
                epoch=self._applier.epoch,
                sequence=self._sender.sequence(),
                generation=generation,
                haproxy=self._applier.healthy,
                listeners=listeners,
                pools=seen.pools,
                members=seen.members,
            )
        )

    def _info(self) -> dict[str, object]:
        version = self._applier.haproxy.version()
        return {
            "amphora_id": self._boot.amphora_id,
            "agent_version": hydria.__version__,
            "haproxy_version": version,
            "haproxy_capabilities": sorted(capabilities.of_version(version)),
            "haproxy_running": self._applier.haproxy.running,
            "generation": self._applier.generation,
            "term": self._applier.term,
            "maxconn": self._applier.haproxy.maxconn,
            "uptime": round(time.monotonic() - self._began, 3),
        }
