"""Changing HAProxy while it runs, through the runtime API: servers, files, connection limits.

A removed server first goes into maintenance, so that it gets no new request, and is deleted in the background
once its connections are gone; its drain timeout or else ``hard_stop_after`` bounds how long that may take.
One that stays, but is to get no new connections, keeps those that it has until its drain timeout, if it has
one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from hydria.amphora import files
from hydria.amphora.log import log
from hydria.amphora.runtime import CommandFailed, Runtime
from hydria.amphora.servers import (
    Changes,
    addition,
    identity,
    in_process,
    key,
    takes_connections,
    takes_fewer,
)
from hydria.wire.state import File, Server

_DELETED = "Server deleted."
_UNKNOWN = "No such server."
_CONNECTIONS = "still has connections"
_ADDED = "New server registered."
_NETWORKS = "acl"
_PREPARED = "New version created:"
_KINDS = {"pem": "cert", "ca": "ca-file", "crl": "crl-file"}  # suffix of a file -> HAProxy's word for it


class Leaving:
    """The servers that are still there only for their last connections, or have some to be closed in time."""

    def __init__(self, hard_stop_after: float) -> None:
        self._hard_stop_after = hard_stop_after
        self._servers: dict[str, tuple[Server | None, float]] = {}  # the server and when it has to be gone
        self._draining: dict[str, float] = {}  # servers that stay, and when their connections are closed
        self._kept: set[str] = set()  # those that HAProxy does not let go before the next reload

    def __contains__(self, name: object) -> bool:
        return name in self._servers

    def __bool__(self) -> bool:
        """Whether some are waiting to be deleted, or for the end of their connections."""
        return self._waiting > 0

    def clear(self) -> None:
        """Another process serves, which has none of them."""
        self._servers.clear()
        self._draining.clear()
        self._kept.clear()

    def retire(self, runtime: Runtime, name: str, server: Server | None = None) -> None:
        """Send a server no more requests, and have it deleted by and by."""
        runtime.tell(f"set server {name} state maint")
        self._kept.discard(name)
        self._draining.pop(name, None)
        drain = server.drain if server is not None else None
        patience = self._hard_stop_after if drain is None else drain
        self._servers[name] = server, time.monotonic() + patience

    def drain(self, server: Server) -> None:
        """See to it that the connections of one that stays end in time; none is closed if it serves again."""
        if takes_connections(server) or server.drain is None:
            self._draining.pop(key(server), None)
        else:
            self._draining[key(server)] = time.monotonic() + server.drain

    def make_way(self, runtime: Runtime, server: Server) -> bool:
        """For a server that comes: whether the one of its name that was leaving can just stay.

        CommandFailed when the leaving one is another and still has connections.
        """
        name = key(server)
        if name not in self._servers:
            return False
        former, _ = self._servers[name]
        stays = former is not None and identity(former) == identity(server)
        if not stays:
            runtime.tell(f"del server {name}", (_DELETED, _UNKNOWN))
        self._forget(name)
        return stays

    def sweep(self) -> int:
        """Delete those that have no connections left; returns how many are still waiting."""
        with Runtime() as runtime:
            for name, deadline in list(self._draining.items()):
                if time.monotonic() > deadline:
                    runtime.ask(f"shutdown sessions server {name}")
                    del self._draining[name]
            for name, (_, deadline) in list(self._servers.items()):
                if name in self._kept:
                    continue
                if time.monotonic() > deadline:
                    runtime.ask(f"shutdown sessions server {name}")
                answer = runtime.ask(f"del server {name}").strip()
                if answer in (_DELETED, _UNKNOWN):
                    self._forget(name)
                elif _CONNECTIONS not in answer:
                    self._kept.add(name)
                    log("agent", f"{name} stays in maintenance until the next reload: {answer}")
        return self._waiting

    @property
    def _waiting(self) -> int:
        return len(self._servers) - len(self._kept) + len(self._draining)

    def _forget(self, name: str) -> None:
        del self._servers[name]
        self._kept.discard(name)


def carry_out(changes: Changes, leaving: Leaving) -> None:
    """Make the changes in the running process; CommandFailed leaves some of them made."""
    with Runtime() as runtime:
        for server in changes.added:
            _add(runtime, server, leaving)
        for was, now in changes.adjusted:
            _adjust(runtime, was, now)
            if takes_fewer(was, now) or takes_connections(now) or was.drain != now.drain:
                leaving.drain(now)
        for server in changes.removed:
            leaving.retire(runtime, key(server), server)


def renewable(file: File) -> bool:
    """Whether the running process takes up another content of a file."""
    return _suffix(file) in (*_KINDS, _NETWORKS)


def renew(changed: Iterable[File]) -> None:
    """Have the running process take up new contents of files; CommandFailed leaves some of them old."""
    with Runtime() as runtime:
        for file in changed:
            if not renewable(file):
                raise CommandFailed(f"{file.name} is only read when HAProxy starts")
            if _suffix(file) == _NETWORKS:
                _networks(runtime, file)
            else:
                _secret(runtime, _KINDS[_suffix(file)], file)


def limit(limits: Mapping[str, int]) -> None:
    """Set the connection limits of frontends; CommandFailed leaves some as they were."""
    with Runtime() as runtime:
        for name, connections in limits.items():
            runtime.tell(f"set maxconn frontend {name} {connections}")


def _suffix(file: File) -> str:
    return file.name.rpartition(".")[2]


def _secret(runtime: Runtime, kind: str, file: File) -> None:
    name = files.path(file)
    answer = runtime.give(f"set ssl {kind} {name}", file.content)
    if not answer.startswith("Transaction"):
        raise CommandFailed(f"set ssl {kind} {name}: {answer[:500]}")
    answer = runtime.ask(f"commit ssl {kind} {name}").strip()
    if not answer.endswith("Success!"):
        runtime.ask(f"abort ssl {kind} {name}")
        raise CommandFailed(f"commit ssl {kind} {name}: {answer[:500]}")


def _networks(runtime: Runtime, file: File) -> None:
    """Replace a list at one stroke: nobody finds it half-written."""
    name = files.path(file)
    answer = runtime.ask(f"prepare acl {name}").strip()
    if not answer.startswith(_PREPARED):
        raise CommandFailed(f"prepare acl {name}: {answer[:500]}")
    version = answer.removeprefix(_PREPARED).strip()
    for network in file.content.split():
        runtime.tell(f"add acl @{version} {name} {network}")
    runtime.tell(f"commit acl @{version} {name}")


def strangers(desired: Collection[Server], leaving: Leaving) -> bool:
    """In a process taken over: retire the servers that nobody wants; is one that is wanted missing?"""
    wanted = {key(server) for server in desired}
    with Runtime() as runtime:
        present = in_process(runtime.ask("show servers state"))
        for name in sorted(present - wanted):
            leaving.retire(runtime, name)
    for server in desired:
        leaving.drain(server)  # when it began, nobody knows any more
    return not wanted <= present


def _add(runtime: Runtime, server: Server, leaving: Leaving) -> None:
    name = key(server)
    if leaving.make_way(runtime, server):
        runtime.tell(f"set server {name} weight {server.weight}")
    else:
        runtime.tell(addition(server), (_ADDED,))
        if "check" in server.options:
            runtime.tell(f"enable health {name}")
        if "agent-check" in server.options:
            runtime.tell(f"enable agent {name}")
    # A new server is in maintenance until it is enabled, as is one that was leaving.
    if server.enabled:
        runtime.tell(f"set server {name} state ready")


def _adjust(runtime: Runtime, was: Server, now: Server) -> None:
    if was.weight != now.weight:
        runtime.tell(f"set server {key(now)} weight {now.weight}")
    if was.enabled != now.enabled:
        runtime.tell(f"set server {key(now)} state {'ready' if now.enabled else 'maint'}")
