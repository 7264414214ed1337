"""Provider agents: programs of third-party drivers that live as long as the driver agent (contract 3.4).

Each is a process of its own, started anew rather than forked, since this one has threads. One thread watches
over all of them: whoever ends is started again, after a pause that doubles while it keeps ending soon.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from multiprocessing import connection
from typing import Any

from hydria.driver_agent import provider_agent

LOG = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_KILL_SECONDS = 5.0


class ProviderAgents:
    """Keeps the provider agents of these names running; ``seconds``: how long they may take to end."""

    def __init__(self, names: Sequence[str], seconds: float) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._seconds = seconds
        self._stopped = threading.Event()
        self._waking, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._agents: list[_Agent] = []
        self._thread = threading.Thread(target=self._run, name="provider-agents", daemon=True)

    def start(self) -> None:
        """Start those that are installed; the log has those that are not."""
        installed = {found.name for found in metadata.entry_points(group=provider_agent.NAMESPACE)}
        for name in self._names:
            if name not in installed:
                LOG.error(
                    "Provider agent '%s' ([driver_agent] enabled_provider_agents) is not installed: no entry"
                    " point of that name in %s", name, provider_agent.NAMESPACE,
                )  # fmt: skip
        self._agents = [_Agent(name, self._seconds) for name in self._names if name in installed]
        if self._agents:
            self._thread.start()

    def stop(self) -> None:
        """Ask all to end, and kill those that have not within their time."""
        self._stopped.set()
        os.write(self._wake, b"!")
        if self._thread.ident is not None:
            self._thread.join(self._seconds + 2 * _KILL_SECONDS)
        for handle in (self._waking, self._wake):
            os.close(handle)

    def _run(self) -> None:
        while not self._stopped.is_set():
            now = time.monotonic()
            pauses = [pause for agent in self._agents if (pause := agent.look(now)) is not None]
            watched = [agent.sentinel for agent in self._agents if agent.sentinel is not None]
            connection.wait([*watched, self._waking], min(pauses, default=None))
        for agent in self._agents:
            agent.ask_to_end()
        deadline = time.monotonic() + self._seconds
        for agent in self._agents:
            agent.see_off(deadline)


class _Agent:
    """One provider agent: its process, or when the next one is due."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        # Neither a fork of this process nor of a server that it would have to leave behind.
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._exit = self._context.Event()
        self._begun = 0.0
        self._due = 0.0
        self._pause = _FIRST_PAUSE

    @property
    def sentinel(self) -> int | None:
        """What becomes ready when the process ends."""
        return None if self._process is None else int(self._process.sentinel)

    def look(self, now: float) -> float | None:
        """Start the process if one is due; seconds until then, None while it runs."""
        if self._process is not None:
            if self._process.is_alive():
                return None
            self._mourn(now)
        if now < self._due:
            return self._due - now
        self._start(now)
        return None

    def ask_to_end(self) -> None:
        """Set the event that the agent was given."""
        self._exit.set()

    def see_off(self, deadline: float) -> None:
        """Wait for the end until ``deadline``, then kill."""
        if self._process is None:
            return
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.is_alive():
            LOG.warning(
                "Provider agent '%s' has not ended within %.0f s ([driver_agent]"
                " provider_agent_shutdown_timeout) and is killed", self._name, self._seconds,
            )  # fmt: skip
            self._process.kill()
            self._process.join(_KILL_SECONDS)
        else:
            LOG.info("Provider agent '%s' has ended", self._name)

    def _start(self, now: float) -> None:
        # A new event for each: one that was killed while it had the event's lock would keep it.
        self._exit = self._context.Event()
        self._process = self._context.Process(
            target=provider_agent.run,
            args=(self._name, self._exit, logging.getLogger().getEffectiveLevel(), self._seconds),
            name=f"provider-agent-{self._name}",
        )
        self._process.start()
        self._begun = now
        LOG.info("Provider agent '%s' runs as process %s", self._name, self._process.pid)

    def _mourn(self, now: float) -> None:
        code = self._process.exitcode
        self._process.join()
        self._process.close()
        self._process = None
        if now - self._begun > _LONGEST_PAUSE:
            self._pause = _FIRST_PAUSE
        LOG.error(
            "Provider agent '%s' has ended by itself (%s); it is started again in %.0f s",
            self._name, f"signal {-code}" if code < 0 else f"exit status {code}", self._pause,
        )  # fmt: skip
        self._due = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
