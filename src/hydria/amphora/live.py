"""Changing HAProxy while it runs, through the runtime API: servers, files, connection limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from hydria.amphora import files, workdir
from hydria.amphora.leaving import Leaving
from hydria.amphora.runtime import CommandFailed, Runtime
from hydria.amphora.servers import Changes, down_in, in_process, key, takes_connections, takes_fewer
from hydria.wire.proxies import STAND_IN
from hydria.wire.state import File, Server

# Each server that becomes another one is made twice; where there are more, a reload is less work.
MOST_REPLACED = 50
_PREPARED = "New version created:"


def carry_out(changes: Changes, leaving: Leaving) -> None:
    """Make the changes in the running process; CommandFailed leaves some of them made."""
    with Runtime() as runtime:
        for server in changes.added:
            leaving.add(runtime, server)
        down = down_in(runtime.ask("show servers state")) if changes.replaced else ()
        for was, now in changes.replaced:
            leaving.replace(runtime, was, now, down=_serves_at(was) == _serves_at(now) and key(was) in down)
        for was, now in changes.adjusted:
            leaving.adjust(runtime, was, now)
        for was, now in (*changes.adjusted, *changes.replaced):
            if takes_fewer(was, now) or takes_connections(now) or was.drain != now.drain:
                leaving.drain(now)
        for server in changes.removed:
            leaving.retire(runtime, key(server), server)


def renew(changed: Iterable[File]) -> None:
    """Have the running process take up new contents of files; CommandFailed leaves some of them old."""
    with Runtime() as runtime:
        for file in changed:
            _RENEWALS[file.name.rpartition(".")[2]](runtime, files.path(file), file.content or "")


def limit(limits: Mapping[str, int]) -> None:
    """Set the connection limits of frontends; CommandFailed leaves some as they were."""
    with Runtime() as runtime:
        for name, connections in limits.items():
            runtime.tell(f"set maxconn frontend {name} {connections}")


def strangers(desired: Collection[Server], leaving: Leaving) -> bool:
    """In a process taken over: retire the servers that nobody wants; is one that is wanted missing?

    So it is where one stands in for another: which of the two is what, nobody knows any more.
    """
    wanted = {key(server) for server in desired}
    with Runtime() as runtime:
        present = in_process(runtime.ask("show servers state"))
        if any(STAND_IN in name.rpartition("/")[2] for name in present):
            return True
        for name in sorted(present - wanted):
            leaving.retire(runtime, name)
    for server in desired:
        leaving.drain(server)  # when it began, nobody knows any more
    return not wanted <= present


def word(text: str) -> str:
    """A word of a command that stands for the text, whatever it is (management guide, section 9.3)."""
    return re.sub(r"[^A-Za-z0-9]", r"\\\g<0>", text)


def _serves_at(server: Server) -> tuple[str, int]:
    return server.address, server.port


def _secret(kind: str, runtime: Runtime, name: str, content: str) -> None:
    answer = runtime.give(f"set ssl {kind} {name}", content)
    if not answer.startswith("Transaction"):
        raise CommandFailed(f"set ssl {kind} {name}: {answer[:500]}")
    answer = runtime.ask(f"commit ssl {kind} {name}").strip()
    if not answer.endswith("Success!"):
        runtime.ask(f"abort ssl {kind} {name}")
        raise CommandFailed(f"commit ssl {kind} {name}: {answer[:500]}")


def _certificates(runtime: Runtime, name: str, content: str) -> None:
    """Bring a list of certificates up to date.

    The first is the default, which HAProxy does not exchange; what it adds comes last. Of two certificates
    for the same host the earlier one serves, so another order is another list.
    """
    wanted = content.split()
    entries = runtime.ask(f"show ssl crt-list {name}").splitlines()
    there = [entry.split()[0] for entry in entries if entry and not entry.startswith("#")]
    added = [path for path in wanted if path not in there]
    if there[:1] != wanted[:1] or [path for path in there if path in wanted] + added != wanted:
        raise CommandFailed(f"{name} has another default certificate, or another order")
    for path in added:
        runtime.ask(f"new ssl cert {path}")  # it may be there, for another list
        _secret("cert", runtime, path, (workdir.read(path) or b"").decode())
        answer = runtime.ask(f"add ssl crt-list {name} {path}").strip()
        if not answer.endswith("Success!"):
            raise CommandFailed(f"add ssl crt-list {name} {path}: {answer[:500]}")
    for path in there:
        if path not in wanted:
            answer = runtime.ask(f"del ssl crt-list {name} {path}").strip()
            if "deleted in crtlist" not in answer:
                raise CommandFailed(f"del ssl crt-list {name} {path}: {answer[:500]}")
            runtime.ask(f"del ssl cert {path}")  # refused while another list has it


def _patterns(runtime: Runtime, name: str, content: str) -> None:
    """Replace what an ACL compares with at one stroke: nobody finds it half-written."""
    version = _prepared(runtime, f"acl {name}")
    for pattern in files.patterns(content):
        runtime.tell(f"add acl @{version} {name} {word(pattern)}")
    runtime.tell(f"commit acl @{version} {name}")


def _map(runtime: Runtime, name: str, content: str) -> None:
    """The same with a map, whose keys and values have no blanks."""
    version = _prepared(runtime, f"map {name}")
    for line in content.splitlines():
        key_, value = line.split(" ")
        runtime.tell(f"add map @{version} {name} {word(key_)} {word(value)}")
    runtime.tell(f"commit map @{version} {name}")


def _prepared(runtime: Runtime, what: str) -> str:
    answer = runtime.ask(f"prepare {what}").strip()
    if not answer.startswith(_PREPARED):
        raise CommandFailed(f"prepare {what}: {answer[:500]}")
    return answer.removeprefix(_PREPARED).strip()


def _authority(_runtime: Runtime, name: str, _content: str) -> None:
    """Whom a certificate of clients or members is believed from: nothing to change in a process that runs.

    Tickets that it has given go on being worth something there, so who was verified by the old one would be
    let in as before. A new process knows none of them.
    """
    raise CommandFailed(f"{name} is another one, and sessions verified by the old one are to end")


def _program(_runtime: Runtime, _name: str, _content: str) -> None:
    """It is named after what it says, so it never says anything else."""


# By what the name of a file ends with: how the running process takes up what it has become.
_RENEWALS: Mapping[str, Callable[[Runtime, str, str], None]] = {
    "pem": partial(_secret, "cert"),
    "ca": _authority,
    "crl": _authority,
    "list": _certificates,
    "acl": _patterns,
    "map": _map,
    "lua": _program,
}
