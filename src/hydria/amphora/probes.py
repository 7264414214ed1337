"""Asks the targets of datagram services, again and again, whether they serve; one thread for all."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hydria.amphora import attempts
from hydria.amphora.attempts import Attempt, Unaskable
from hydria.amphora.log import Rare, log
from hydria.wire.state import Probe, Service, Target

Key = tuple[str, str]  # listener and target
_not_probed = Rare("agent")


@dataclass(slots=True)
class Health:
    """Pure: what the answers so far mean. A new target is taken to serve, until it turns out otherwise."""

    rise: int
    fall: int
    up: bool = True
    _against: int = 0  # answers in a row that speak against ``up``

    def hear(self, *, serves: bool) -> bool:
        """Take in an answer; whether it has changed anything."""
        if serves == self.up:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self.rise if serves else self.fall):
            return False
        self.up, self._against = serves, 0
        return True


@dataclass(slots=True)
class _Watched:
    probe: Probe
    target: Target
    health: Health
    due: float
    attempt: Attempt | None = None
    deadline: float = 0.0
    askable: bool = True


@dataclass(slots=True)
class Prober:
    """``changed`` is called, in a thread of the prober's own, whenever a target has gone up or down."""

    changed: Callable[[], None]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watched: dict[Key, _Watched] = field(default_factory=dict)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _wakeup: int = -1

    def watch(self, services: Iterable[Service]) -> None:
        """Ask the targets of these from now on; what is known of those that stay the same is kept."""
        now = time.monotonic()
        wanted = {
            (service.listener, target.name): (service.probe, target)
            for service in services
            if service.probe is not None
            for target in service.targets
            if target.enabled
        }
        with self._lock:
            for key in [key for key in self._watched if key not in wanted]:
                self._drop(self._watched.pop(key))
            for key, (probe, target) in wanted.items():
                former = self._watched.get(key)
                if former is None:
                    self._watched[key] = _Watched(probe, target, Health(probe.rise, probe.fall), now)
                elif _question(former.probe, former.target) != _question(probe, target):
                    self._drop(former)
                    health = Health(probe.rise, probe.fall, former.health.up)
                    self._watched[key] = _Watched(probe, target, health, now)
        self._wake()

    def states(self) -> dict[Key, str]:
        """UP or DOWN of every target that is asked."""
        with self._lock:
            return {
                key: "UP" if watched.health.up else "DOWN"
                for key, watched in self._watched.items()
                if watched.askable
            }

    def _wake(self) -> None:
        if self._wakeup < 0:
            if not self._watched:
                return  # most amphorae never need the thread
            self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            threading.Thread(target=self._run, name="probes", daemon=True).start()
        os.eventfd_write(self._wakeup, 1)

    def _run(self) -> None:
        while True:
            ready = self._selector.select(self._until_due())
            with self._lock:
                changed = [self._proceed(key.data) for key, _ in ready if key.fd != self._wakeup]
                changed += [self._look_at(watched) for watched in list(self._watched.values())]
            if any(key.fd == self._wakeup for key, _ in ready):
                os.eventfd_read(self._wakeup)
            if any(changed):
                self.changed()

    def _until_due(self) -> float | None:
        with self._lock:
            moments = [each.deadline if each.attempt else each.due for each in self._watched.values()]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _look_at(self, watched: _Watched) -> bool:
        """Begin the next attempt, or end one that has had its time; whether the target's state changed."""
        now = time.monotonic()
        if watched.attempt is not None:
            return watched.deadline <= now and self._heard(watched, serves=watched.attempt.silence)
        if watched.due > now:
            return False
        watched.due = now + watched.probe.delay
        try:
            watched.attempt = attempts.ask(watched.probe, watched.target)
        except Unaskable as reason:
            if watched.askable:
                log("agent", str(reason))
            watched.askable = False
            return False
        except OSError as error:  # no more sockets: says nothing about the target
            _not_probed(f"cannot probe {watched.target.address}: {error}")
            return False
        watched.deadline = now + watched.probe.timeout
        answer = watched.attempt.start()
        if answer is not None:
            return self._heard(watched, serves=answer)
        self._selector.register(watched.attempt.socket, watched.attempt.events, watched)
        return False

    def _proceed(self, watched: _Watched) -> bool:
        attempt = watched.attempt
        if attempt is None:
            return False  # it was dropped meanwhile
        try:
            answer = attempt.proceed()
        except BlockingIOError:
            answer = None
        except OSError:
            answer = False
        if answer is not None:
            return self._heard(watched, serves=answer)
        self._selector.modify(attempt.socket, attempt.events, watched)
        return False

    def _heard(self, watched: _Watched, *, serves: bool) -> bool:
        self._drop(watched)
        changed = watched.health.hear(serves=serves)
        if changed:
            word = "up" if serves else "down"
            log("agent", f"{watched.target.name} ({watched.target.address}) is {word}")
        return changed

    def _drop(self, watched: _Watched) -> None:
        """End the attempt under way."""
        if watched.attempt is None:
            return
        if watched.attempt.socket in self._selector.get_map():
            self._selector.unregister(watched.attempt.socket)
        watched.attempt.socket.close()
        watched.attempt = None


def _question(probe: Probe, target: Target) -> tuple[object, ...]:
    """What of a target and its probe makes it another question."""
    return probe, target.address, target.port, target.probe_address, target.probe_port
