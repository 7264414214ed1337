"""Pure: what HAProxy's Prometheus exporter says, in Octavia's names (contract 4.11).

HAProxy speaks of processes, frontends, backends and servers. Here they are the load balancer, listeners,
pools and members, and the labels are their ids. A pool that several listeners use has a series for each, told
apart by the label ``listener``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hydria.wire.proxies import INTERNAL

# HAProxy's names without their prefix, of what Octavia tells about the load balancer as a whole.
_OF_PROCESS = re.compile(
    r"""(max|current)_(ssl_)?connections | (ssl_)?connections_total | requests_total
    | (current|limit|max)_(connection|session|ssl)_rate | (current|max)_(frontend|backend)_ssl_key_rate
    | frontend_ssl_reuse | ssl_cache_(lookups|misses)_total | http_comp_bytes_(in|out)_total | limit_http_comp
    | listeners | dropped_logs_total""",
    re.VERBOSE,
)
_MEMORY = re.compile(r"pool_(allocated_bytes|used_bytes|failures_total)")
_KINDS = {"frontend": "listener", "backend": "pool", "server": "member"}
_OTHERWISE = {
    "pool_active_servers": "pool_active_members",
    "pool_backup_servers": "pool_backup_members",
    "pool_server_aborts_total": "pool_member_aborts_total",
}
_UNTOLD = "agg_"  # sums over servers, which Prometheus does itself
_COMMENT = re.compile(r"# (HELP|TYPE) ([a-z0-9_]+) (.*)")
_NAME = re.compile(r"haproxy_(process|frontend|backend|server)_([a-z0-9_]+)")
_SAMPLE = re.compile(r'([a-z0-9_]+)(?:\{proxy="([^"\\]*)"(?:,server="([^"\\]*)")?(,[^}]*)?\})? (\S+)')
_WORDS = re.compile(r"\b(frontend|backend|server)(s?)\b", re.IGNORECASE)


def renamed(lines: Iterable[str], more: Mapping[str, Sequence[str]] | None = None) -> Iterator[str]:
    """The lines of an answer to Prometheus, from those of HAProxy's exporter.

    more: family -> samples of what HAProxy knows nothing of, labels and value (``{listener="…"} 5``); told
    with the family's other samples, because the format wants them together.
    """
    family = ""
    for line in lines:
        if line.startswith("#"):
            found = _COMMENT.match(line)
            if found and found[1] == "HELP":
                yield from _ended(family, more)
                family = family_of(found[2])
            if found and family:
                yield f"# {found[1]} {family} {_words(found[3]) if found[1] == 'HELP' else found[3]}\n"
        elif family and (sample := _sample(line, family)):
            yield sample
    yield from _ended(family, more)


def family_of(name: str) -> str:
    """Octavia's name for one of HAProxy's families, "" for what Octavia does not tell."""
    found = _NAME.fullmatch(name)
    if not found:
        return ""
    kind, rest = found.groups()
    if kind == "process":
        if _MEMORY.fullmatch(rest):
            return f"octavia_memory_{rest}"
        return f"octavia_loadbalancer_{rest}" if _OF_PROCESS.fullmatch(rest) else ""
    if rest.startswith(_UNTOLD):
        return ""
    name = f"{_KINDS[kind]}_{rest}"
    return f"octavia_{_OTHERWISE.get(name, name)}"


def _ended(family: str, more: Mapping[str, Sequence[str]] | None) -> Iterator[str]:
    for sample in (more or {}).get(family, ()):
        yield f"{family}{sample}\n"


def _sample(line: str, family: str) -> str:
    """One value, "" when it is of something of our own."""
    found = _SAMPLE.match(line)
    if not found:
        return ""
    _, proxy, server, others, value = found.groups()
    if proxy is None:
        return f"{family} {value}\n"
    if proxy.startswith(INTERNAL):
        return ""
    pool, _, listener = proxy.partition(":")
    # A frontend has its listener's name, a backend POOL:LISTENER.
    labels = f'pool="{pool}",listener="{listener}"' if listener else f'listener="{proxy}"'
    if server is not None:
        labels += f',member="{server}"'
    return f"{family}{{{labels}{others or ''}}} {value}\n"


def _words(text: str) -> str:
    """The same in Octavia's words."""
    return _WORDS.sub(_word, text)


def _word(found: re.Match[str]) -> str:
    word = _KINDS[found[1].lower()] + found[2]
    return word.capitalize() if found[1][0].isupper() else word
