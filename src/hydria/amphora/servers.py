"""Pure: which servers of HAProxy's backends change between two desired states, and HAProxy's words for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from hydria.wire.proxies import INTERNAL
from hydria.wire.state import Server


@dataclass(frozen=True, slots=True)
class Changes:
    """added, removed: whole servers. adjusted: those whose weight or administrative state changes.

    replaced: those that change in a way that HAProxy cannot make live.
    """

    added: tuple[Server, ...]
    removed: tuple[Server, ...]
    adjusted: tuple[tuple[Server, Server], ...]
    replaced: tuple[Server, ...]

    def __str__(self) -> str:
        counts = {"added": self.added, "removed": self.removed, "changed": self.adjusted}
        said = [f"{len(group)} {verb}" for verb, group in counts.items() if group]
        if not said:
            return "no server changed"
        number, _, rest = said[0].partition(" ")
        return ", ".join([f"{number} server{'' if number == '1' else 's'} {rest}", *said[1:]])


def key(server: Server) -> str:
    """HAProxy's name for a server on its command line."""
    return f"{server.backend}/{server.name}"


def identity(server: Server) -> tuple[str, str, str, int, tuple[str, ...]]:
    """What about a server can only be changed by making another one."""
    return server.backend, server.name, server.address, server.port, server.options


def takes_connections(server: Server) -> bool:
    """Whether it is to get connections of clients that it does not know yet."""
    return server.enabled and server.weight > 0


def takes_fewer(was: Server, now: Server) -> bool:
    """Whether the change is one for which the connections of before are to end."""
    return now.enabled < was.enabled or (now.weight == 0 and was.weight > 0)


def difference(old: Iterable[Server], new: Iterable[Server]) -> Changes:
    """What changes from one set of servers to another."""
    before = {key(server): server for server in old}
    after = {key(server): server for server in new}
    both = [(before[name], after[name]) for name in after if name in before]
    return Changes(
        added=tuple(server for name, server in after.items() if name not in before),
        removed=tuple(server for name, server in before.items() if name not in after),
        adjusted=tuple(
            pair for pair in both if identity(pair[0]) == identity(pair[1]) and pair[0] != pair[1]
        ),
        replaced=tuple(now for was, now in both if identity(was) != identity(now)),
    )


def addition(server: Server) -> str:
    """The command that makes a server (management guide, "add server")."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    words = [f"add server {key(server)} {host}:{server.port} weight {server.weight}", *server.options]
    return " ".join(words)


def in_process(dump: str) -> set[str]:
    """The members that HAProxy has, from its answer to ``show servers state``."""
    return {f"{fields[1]}/{fields[3]}" for fields in _rows(dump) if not fields[1].startswith(INTERNAL)}


def carried_over(dump: str, servers: Iterable[Server], leaving: Container[str]) -> str:
    """The server-state file for the next process, from this one's ``show servers state``.

    It is there to carry one thing over: what the health checks know, for servers that go on being checked;
    without checks one that is down would stay so for ever. The administrative state and the
    weight are the new configuration's, which HAProxy would not believe over a file that says otherwise.
    """
    desired: Mapping[str, Server] = {key(server): server for server in servers}
    lines = dump.split("\n", 2)[:2]
    for fields in _rows(dump):
        name = f"{fields[1]}/{fields[3]}"
        server = desired.get(name)
        if (
            server
            and server.enabled
            and "check" in server.options
            and name not in leaving
            and fields[6] == "0"
            and fields[4] == server.address
        ):
            fields[7] = fields[8] = str(server.weight)
            lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"


def _rows(dump: str) -> Iterable[list[str]]:
    """Fields of interest: 1 backend, 3 name, 4 address, 6 administrative state, 7 and 8 weights."""
    for line in dump.splitlines()[2:]:
        fields = line.split()
        if len(fields) > 8:
            yield fields
