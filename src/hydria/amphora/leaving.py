"""Servers on their way out of the running HAProxy, which stay as long as their connections.

A removed server first goes into maintenance, so that it gets no new request, and is deleted in the background
once its connections are gone; its drain timeout or else ``hard_stop_after`` bounds how long that may take.
One that stays, but is to get no new connections, keeps those that it has until its drain timeout, if it has
one.

A member that has become another server to HAProxy, a backup for instance, is served by a stand-in at once.
The former server drains for as long as it takes: only who sticks to the member still goes there, which is the
same member after all. When it is gone, the new server gets the member's name, and the stand-in leaves. So the
names, which cookies and stick tables hold, stay those of the configuration.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hydria.amphora.log import log
from hydria.amphora.runtime import CommandFailed, Runtime
from hydria.amphora.servers import (
    addition,
    adjustments,
    busy_in,
    down_in,
    identity,
    key,
    readiness,
    stand_in,
    takes_connections,
)
from hydria.wire.proxies import STAND_IN
from hydria.wire.state import Server

_ADDED = "New server registered."
_DELETED = ("Server deleted.", "No such server.")
_CONNECTIONS = "still has connections"
_MOST_STAND_INS = 9  # of one member; more come of changes that nobody makes by hand


@dataclass(frozen=True, slots=True)
class _Replaced:
    """former: who has a name. heir: who is to have it. number: of who stands in for the heir."""

    former: Server
    heir: Server
    number: int

    @property
    def stand_in(self) -> Server:
        """Who serves."""
        return stand_in(self.heir, self.number)


class Leaving:
    """The servers that are still there only for their last connections, or have some to be closed in time."""

    def __init__(self, hard_stop_after: float) -> None:
        self._hard_stop_after = hard_stop_after
        self._servers: dict[str, tuple[Server | None, float]] = {}  # the server and when it has to be gone
        self._replaced: dict[str, _Replaced] = {}
        self._draining: dict[str, float] = {}  # servers that stay, and when their connections are closed
        self._kept: set[str] = set()  # those that HAProxy does not let go before the next reload

    def __contains__(self, name: object) -> bool:
        return name in self._servers or name in self._replaced

    def __bool__(self) -> bool:
        """Whether some are waiting to be deleted, or for the end of their connections."""
        return self._waiting > 0

    def clear(self) -> None:
        """Another process serves, which has none of them."""
        self._servers.clear()
        self._replaced.clear()
        self._draining.clear()
        self._kept.clear()

    def add(self, runtime: Runtime, server: Server) -> None:
        """Have a server serve; one of its name that is leaving stays, or lets a stand-in serve meanwhile."""
        name = key(server)
        former, _ = self._servers.get(name, (None, 0))
        if former is not None and identity(former) == identity(server):
            self._forget(name)
            _restore(runtime, former, server)
        elif name not in self._servers or self._delete(runtime, name):
            _install(runtime, server)
        elif former is None:
            raise CommandFailed(f"{name} still has connections of what it was before")
        else:
            self._forget(name)
            self.replace(runtime, former, server)

    def adjust(self, runtime: Runtime, was: Server, now: Server) -> None:
        """Change what HAProxy can change in a server."""
        name = key(now)
        if name not in self._replaced:
            _tell(runtime, adjustments(was, now))
            return
        each = self._replaced[name]
        other = stand_in(now, each.number)
        _tell(runtime, [*adjustments(each.stand_in, other), _rest(each.former, now)])
        self._replaced[name] = _Replaced(each.former, now, each.number)

    def replace(self, runtime: Runtime, was: Server, now: Server, *, down: bool = False) -> None:
        """Have a server become another one; ``down``: it is known not to answer."""
        name = key(now)
        before = self._replaced.pop(name, None)
        former = before.former if before else was
        if identity(former) == identity(now):
            _restore(runtime, former, now)
        else:
            number = self._have_stood_in(runtime, now, down=down, taken=before.number if before else 0)
            _tell(runtime, [_rest(former, now)])
            self._replaced[name] = _Replaced(former, now, number)
        if before:
            self._kept.discard(name)
            self._leave(runtime, key(before.stand_in), before.stand_in)

    def retire(self, runtime: Runtime, name: str, server: Server | None = None) -> None:
        """Send a server no more requests, and have it deleted by and by."""
        self._draining.pop(name, None)
        drain = server.drain if server is not None else None
        deadline = time.monotonic() + (self._hard_stop_after if drain is None else drain)
        if replaced := self._replaced.pop(name, None):
            self._leave(runtime, key(replaced.stand_in), replaced.stand_in)
            server = replaced.former
        self._leave(runtime, name, server)
        for each in (name, *self._stand_ins(name)):
            its, until = self._servers[each]
            self._servers[each] = its, min(until, deadline)

    def drain(self, server: Server) -> None:
        """See to it that the connections of one that stays end in time; none is closed if it serves again."""
        if takes_connections(server) or server.drain is None:
            self._draining.pop(key(server), None)
        else:
            self._draining[key(server)] = time.monotonic() + server.drain

    def sweep(self) -> int:
        """Delete those that have no connections left; returns how many are still waiting."""
        with Runtime() as runtime:
            for name, deadline in list(self._draining.items()):
                if time.monotonic() > deadline:
                    self._shut(runtime, name)
                    del self._draining[name]
            for name, (_, deadline) in list(self._servers.items()):
                if name not in self._kept:
                    if time.monotonic() > deadline:
                        self._shut(runtime, name)
                    self._delete(runtime, name)
            for name, each in list(self._replaced.items()):
                if name not in self._kept:
                    self._succeed(runtime, each)
        return self._waiting

    @property
    def _waiting(self) -> int:
        return len(self._servers) + len(self._replaced) - len(self._kept) + len(self._draining)

    def _have_stood_in(self, runtime: Runtime, server: Server, *, down: bool, taken: int) -> int:
        """Have another serve for a server; its number, for those before it may have connections still."""
        free = (number for number in range(1, _MOST_STAND_INS + 1) if number != taken)
        for number in free:
            other = stand_in(server, number)
            name = key(other)
            former, _ = self._servers.get(name, (None, 0))
            if former is not None and identity(former) == identity(other):
                self._forget(name)
                _restore(runtime, former, other)
                return number
            if name not in self._servers or self._delete(runtime, name):
                _install(runtime, other, down=down)
                return number
        raise CommandFailed(f"{key(server)} has connections of all that it was before")

    def _succeed(self, runtime: Runtime, each: _Replaced) -> None:
        """Give the heir its name, if the former server has no connections left."""
        heir, name = each.heir, key(each.heir)
        if name in busy_in(runtime.ask(f"show servers conn {heir.backend}")):
            return
        # Who sticks to the member and asks in this very moment, is balanced like anybody else.
        _, deleted, added, *_ = runtime.ask_at_once(
            f"set server {name} state maint",
            f"del server {name}",
            addition(heir),
            _rest(each.former, heir),
        )
        if deleted in _DELETED and added == _ADDED:
            down = key(each.stand_in) in down_in(runtime.ask(f"show servers state {heir.backend}"))
            _tell(runtime, readiness(heir, down=down))
            del self._replaced[name]
            self._leave(runtime, key(each.stand_in), each.stand_in)
        elif deleted in _DELETED or _CONNECTIONS not in deleted:
            self._keep(name, added if deleted in _DELETED else deleted)

    def _leave(self, runtime: Runtime, name: str, server: Server | None) -> None:
        runtime.tell(f"set server {name} state maint")
        self._kept.discard(name)
        self._servers[name] = server, math.inf

    def _delete(self, runtime: Runtime, name: str) -> bool:
        """Whether it is gone."""
        answer = runtime.ask(f"del server {name}").strip()
        if answer in _DELETED:
            self._forget(name)
            return True
        if _CONNECTIONS not in answer:
            self._keep(name, answer)
        return False

    def _shut(self, runtime: Runtime, name: str) -> None:
        """Close the connections of a server, and of those that have stood in for it."""
        for each in (name, *self._stand_ins(name)):
            runtime.ask(f"shutdown sessions server {each}")

    def _stand_ins(self, name: str) -> list[str]:
        found = [each for each in self._servers if each.startswith(f"{name}{STAND_IN}")]
        return [*found, key(self._replaced[name].stand_in)] if name in self._replaced else found

    def _keep(self, name: str, answer: str) -> None:
        self._kept.add(name)
        log("agent", f"{name} stays until the next reload: {answer}")

    def _forget(self, name: str) -> None:
        del self._servers[name]
        self._kept.discard(name)


def _install(runtime: Runtime, server: Server, *, down: bool = False) -> None:
    runtime.tell(addition(server), (_ADDED,))
    _tell(runtime, readiness(server, down=down))


def _restore(runtime: Runtime, former: Server, server: Server) -> None:
    """Have one serve again that was leaving, and is what it was."""
    ending = readiness(server) or [f"set server {key(server)} state maint"]
    _tell(runtime, [*adjustments(former, server), *ending])


def _rest(former: Server, heir: Server) -> str:
    """The command that leaves a server to those who stick to the member."""
    return f"set server {key(heir)} state {'drain' if former.enabled and heir.enabled else 'maint'}"


def _tell(runtime: Runtime, commands: Iterable[str]) -> None:
    for command in commands:
        runtime.tell(command)
