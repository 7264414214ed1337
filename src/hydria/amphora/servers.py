"""Pure: which servers of HAProxy's backends change between two desired states, and HAProxy's words for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hydria.wire.proxies import INTERNAL, STAND_IN, member_of
from hydria.wire.state import Server

_CHECKED = "check"
_CHECKS = {_CHECKED: "health", "agent-check": "agent"}  # option of a server -> what is enabled
_NUMBER = "id"
_WHERE_IT_IS = "0.0.0.0"  # noqa: S104  (HAProxy's word for no address of their own)
_STOPPED = "0"
_USED = "used_cur"
_DRAINS = 0x18


@dataclass(frozen=True, slots=True)
class Changes:
    """added, removed: whole servers. adjusted: those of which HAProxy can change what changes.

    replaced: those that become others, by HAProxy's lights.
    """

    added: tuple[Server, ...]
    removed: tuple[Server, ...]
    adjusted: tuple[tuple[Server, Server], ...]
    replaced: tuple[tuple[Server, Server], ...]

    def __str__(self) -> str:
        changed = (*self.adjusted, *self.replaced)
        counts = {"added": self.added, "removed": self.removed, "changed": changed}
        said = [f"{len(group)} {verb}" for verb, group in counts.items() if group]
        if not said:
            return "no server changed"
        number, _, rest = said[0].partition(" ")
        return ", ".join([f"{number} server{'' if number == '1' else 's'} {rest}", *said[1:]])


def key(server: Server) -> str:
    """HAProxy's name for a server on its command line."""
    return f"{server.backend}/{server.name}"


def stand_in(server: Server, number: int) -> Server:
    """The server that serves in the place of one whose name, and number in HAProxy, another still has."""
    options = server.options
    if _NUMBER in options:
        at = options.index(_NUMBER)
        options = options[:at] + options[at + 2 :]
    return dataclasses.replace(server, name=f"{server.name}{STAND_IN}{number}", options=options)


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
        replaced=tuple(pair for pair in both if identity(pair[0]) != identity(pair[1])),
    )


def addition(server: Server) -> str:
    """The command that makes a server, in maintenance and without checks (management guide, "add server")."""
    words = [f"add server {key(server)} {_host(server.address)}:{server.port} weight {server.weight}"]
    if server.check_address:
        words += ["addr", _host(server.check_address)]
    if server.check_port:
        words += ["port", str(server.check_port)]
    return " ".join([*words, *server.options])


def readiness(server: Server, *, down: bool = False) -> list[str]:
    """The commands that have a server serve; one that is ``down`` once checks find that it answers.

    Checks begin only now: HAProxy would have them run in maintenance, too, where a member expects none.
    """
    name = key(server)
    if not server.enabled:
        return []
    checks = [f"enable {kind} {name}" for word, kind in _CHECKS.items() if word in server.options]
    if down and _CHECKED in server.options:
        # What is in maintenance cannot be told to be down; what drains gets nobody who is new.
        checks += [f"set server {name} state drain", f"set server {name} health down"]
    return [*checks, f"set server {name} state ready"]


def adjustments(was: Server, now: Server) -> Iterator[str]:
    """The commands that change what HAProxy can change in a server."""
    name = key(now)
    if was.weight != now.weight:
        yield f"set server {name} weight {now.weight}"
    if was.check_address != now.check_address:
        yield f"set server {name} check-addr {now.check_address or _WHERE_IT_IS}"
    if was.check_port != now.check_port:
        yield f"set server {name} check-port {now.check_port}"
    if was.enabled and not now.enabled:
        yield f"set server {name} state maint"
    if now.enabled and not was.enabled:
        yield from readiness(now)


def in_process(dump: str) -> set[str]:
    """The servers that HAProxy has, from its answer to ``show servers state``."""
    return {f"{fields[1]}/{fields[3]}" for fields in _rows(dump) if not fields[1].startswith(INTERNAL)}


def down_in(dump: str) -> set[str]:
    """Those of them that are meant to serve and do not answer."""
    return {
        f"{fields[1]}/{fields[3]}"
        for fields in _rows(dump)
        if fields[5] == _STOPPED and not int(fields[6]) & ~_DRAINS
    }


def busy_in(dump: str) -> set[str]:
    """The servers that have requests or connections, from the answer to ``show servers conn``."""
    lines = [line.split() for line in dump.splitlines() if line.strip()]
    if not lines or _USED not in lines[0]:
        return set()  # there is no such backend
    used = lines[0].index(_USED) - 1  # behind the sign of a comment; its place differs between versions
    return {fields[0] for fields in lines[1:] if fields[used] != "0"}


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
        server = desired.get(f"{fields[1]}/{member_of(fields[3])}")
        if (
            server
            and server.enabled
            and _CHECKED in server.options
            and name not in leaving
            and fields[6] == "0"
            and (fields[4], fields[18]) == (server.address, str(server.port))
        ):
            fields[3] = server.name
            fields[7] = fields[8] = str(server.weight)
            fields[21:23] = str(server.check_port), server.check_address or "-"
            lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"


def _rows(dump: str) -> Iterable[list[str]]:
    """Fields of interest (management guide, "show servers state").

    1 backend, 3 name, 4 address, 5 and 6 operational and administrative state, 7 and 8 weights, 18 port,
    21 and 22 port and address of checks.
    """
    for line in dump.splitlines()[2:]:
        fields = line.split()
        if len(fields) > 22:
            yield fields


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
