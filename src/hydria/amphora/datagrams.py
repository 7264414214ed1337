"""Pure: datagram services as rules of the packet filter, in a table of their own.

A new flow is sent to a target (destination NAT), the connection tracking sends what follows after it, and
answers leave with the VIP as their source. What changes is replaced in one transaction; the flows that are
tracked, the clients that stick, and the counters stay. Each target has a mark of its own, on its flows and on
the clients that stick to it.

A flow whose target is taken away while an answer is under way goes on as two: what the client sends next is
a new flow, and the answer is looked for in another zone, where the flow is as it was (:mod:`.conntrack`).
"""

from __future__ import annotations

import ipaddress
import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hydria.amphora.shares import shares
from hydria.wire.state import Service, Target

TABLE = "inet hydria_datagram"
LEAST = "least"
NONE: Mapping[int, int] = MappingProxyType({})
Marks = Mapping[tuple[str, str], int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Answer = tuple[str, int, str, int]  # where from, and where to

_WORDS = {4: ("ip", "ipv4_addr", "0.0.0.0"), 6: ("ip6", "ipv6_addr", "::")}  # noqa: S104  (all of a family)
_CLIENTS = 65_536  # that a service remembers
_SEED = "0x68796472"  # any, but the same in all amphorae


@dataclass(slots=True)
class Script:
    """What ``nft -f`` reads; ``made`` names what there is when it has been read (``chain NAME``, …)."""

    lines: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def add(self, kind: str, name: str, content: str = "") -> None:
        """Make something, unless it is there."""
        self.lines.append(f"add {kind} {TABLE} {name} {content}".rstrip())
        self.made.append(f"{kind} {name}")

    def rule(self, chain: str, text: str) -> None:
        """Append a rule."""
        self.lines.append(f"add rule {TABLE} {chain} {text}")

    def text(self, former: Collection[str] | None) -> str:
        """The script. ``former``: what the one before has made, to be removed if it is not needed any more.

        None: nothing is known of it, so it begins anew.
        """
        if former is None:
            return "\n".join(
                [f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}", *self.lines, ""]
            )
        flushed = [_statement("flush", name) for name in former if name.startswith("chain ")]
        gone = [name for name in former if name not in set(self.made)]
        # Chains first: they refer to the others.
        gone.sort(key=lambda name: not name.startswith("chain "))
        return "\n".join([*flushed, *self.lines, *(_statement("delete", name) for name in gone), ""])


def marks(services: Iterable[Service]) -> dict[tuple[str, str], int]:
    """(listener, target) -> the mark of its flows; the same in every life of the agent."""
    found: dict[tuple[str, str], int] = {}
    taken = {0}
    for key in sorted((service.listener, target.name) for service in services for target in service.targets):
        mark = zlib.crc32("/".join(key).encode()) & 0x7FFF_FFFF
        while mark in taken:
            mark = (mark + 1) & 0x7FFF_FFFF
        taken.add(mark)
        found[key] = mark
    return found


def usable(targets: Iterable[Target], down: Collection[str]) -> list[Target]:
    """The targets that new flows go to: backups only when nobody else is there."""
    able = [each for each in targets if each.enabled and each.weight and each.name not in down]
    return [each for each in able if not each.backup] or able


def script(
    services: Sequence[Service],
    down: Mapping[str, Collection[str]],
    closed: str,
    flows: Mapping[int, int] = NONE,
) -> Script:
    """The rules for these services.

    down: listener -> names of targets that do not serve. closed: an interface that nothing is forwarded to.
    flows: mark -> how many there are, for services that balance by it.
    """
    made = Script()
    if not services:
        return made
    known = marks(services)
    _leave_tcp_alone(made)
    for version, (word, _, _) in _WORDS.items():
        answer = f"{word} saddr . udp sport . {word} daddr . udp dport"
        made.add("map", f"late_{version}", f"{{ typeof {answer} : ct zone; flags timeout; }}")
        made.rule("early", f"ct zone set {answer} map @late_{version}")
    made.add("chain", "prerouting", "{ type nat hook prerouting priority dstnat; policy accept; }")
    made.add("chain", "postrouting", "{ type nat hook postrouting priority srcnat; policy accept; }")
    made.add("chain", "forward", "{ type filter hook forward priority filter; policy drop; }")
    for service in services:
        _admit(made, service)
        _service(made, service, known, down.get(service.listener, ()))
    for chain, rule in _levels(services, down, flows):
        made.rule(chain, rule)
    _hide(made, services, known)
    if closed:
        made.rule("forward", f'oifname "{closed}" drop')
    _count(made, services, known)
    made.rule("forward", "ct status dnat accept")
    return made


def leveled(services: Sequence[Service]) -> bool:
    """Whether it matters to one of them how many flows its targets have."""
    return any(service.balance == LEAST for service in services)


def levels(services: Sequence[Service], down: Mapping[str, Collection[str]], flows: Mapping[int, int]) -> str:
    """The rules that send new flows to who has the fewest, in the place of those that are there."""
    rules = dict(_levels(services, down, flows))
    made = Script()
    for chain, text in rules.items():
        made.rule(chain, text)
    return "\n".join([*(_statement("flush", f"chain {chain}") for chain in rules), *made.lines, ""])


def late(answers: Iterable[Answer], zone: int, seconds: int) -> str:
    """Have these answers be looked for in another zone of the connection tracking, for so long."""
    return "".join(
        f"add element {TABLE} late_{_version(source)} "
        f"{{ {source} . {port} . {destination} . {to} timeout {seconds}s : {zone} }}\n"
        for source, port, destination, to in answers
    )


def none_late() -> str:
    """Look for no answers elsewhere any more."""
    return "".join(f"flush map {TABLE} late_{version}\n" for version in _WORDS)


def admitted(service: Service) -> list[Network]:
    """The networks that clients may come from, without overlap, which nft would refuse."""
    networks = [ipaddress.ip_network(cidr) for cidr in service.allowed]
    return [
        network
        for version in _WORDS
        for network in ipaddress.collapse_addresses(each for each in networks if each.version == version)  # type: ignore[type-var]  # of one family
    ]


def counters(service: Service) -> tuple[str, str, str]:
    """The names of a service's counters: new flows, what comes in, what goes out."""
    plain = _plain(service.listener)
    return f"new_{plain}", f"in_{plain}", f"out_{plain}"


def _leave_tcp_alone(made: Script) -> None:
    """HAProxy's connections need no tracking: it would cost a tenth of its time, and room that is limited."""
    for chain, hook in (("early", "prerouting"), ("leaving", "output")):
        made.add("chain", chain, f"{{ type filter hook {hook} priority raw; policy accept; }}")
        made.rule(chain, "meta l4proto tcp notrack accept")


def _admit(made: Script, service: Service) -> None:
    """Drop every packet from a client that is not allowed, before it can become a flow, and every one to it.

    A client that is taken off the list may have a flow, whose packets do not pass the chains of NAT any more.
    """
    if not service.allowed:
        return
    protocol, port = service.protocol, service.port
    for version, (word, _, _) in _WORDS.items():
        vips = ", ".join(vip for vip in service.vips if _version(vip) == version)
        if not vips:
            continue
        networks = ", ".join(str(each) for each in admitted(service) if each.version == version)
        strange = f"saddr != {{ {networks} }}" if networks else f"saddr {_WORDS[version][2]}/0"
        made.rule("early", f"{word} daddr {{ {vips} }} {protocol} dport {port} {word} {strange} drop")
        flow = f"ct original {word} daddr {{ {vips} }} meta l4proto {protocol} ct original proto-dst {port}"
        made.rule("forward", f"{flow} ct original {word} {strange} drop")


def _service(made: Script, service: Service, known: Marks, down: Collection[str]) -> None:
    plain = _plain(service.listener)
    for name in counters(service):
        made.add("counter", name)
    if service.limit:
        made.add("set", f"limit_{plain}", "{ type inet_service; size 4; flags dynamic; }")
    for version, (word, _, _) in _WORDS.items():
        vips = [vip for vip in service.vips if _version(vip) == version]
        if not vips:
            continue
        chain = f"to_{plain}_{version}"
        made.add("chain", chain)
        where = f"{word} daddr {{ {', '.join(vips)} }} {service.protocol} dport {service.port}"
        made.rule("prerouting", f"{where} goto {chain}")
        if service.limit:
            over = f"{{ {service.protocol} dport ct count over {service.limit} }}"
            made.rule(chain, f"add @limit_{plain} {over} drop")
        _choose(made, service, chain, version, known, down)


def _hide(made: Script, services: Iterable[Service], known: Marks) -> None:
    """Send flows on as the amphora's own, so that answers come back; but not where clients are to be seen."""
    seen = [
        f"{known[service.listener, target.name]:#x}"
        for service in services
        if service.preserve
        for target in service.targets
    ]
    if seen:
        made.rule("postrouting", f"ct mark {{ {', '.join(seen)} }} accept")
    made.rule("postrouting", "ct status dnat masquerade")


def _choose(
    made: Script,
    service: Service,
    chain: str,
    version: int,
    known: Marks,
    down: Collection[str],
) -> None:
    """Send a new flow to a target; to nobody, not even to the kernel itself, when there is none."""
    word, kind, anything = _WORDS[version]
    reachable = _reachable(service, version)
    serving = [each for each in reachable if each.enabled and each.name not in down]
    table = client = ""
    if service.sticky:
        bits = service.mask4 if version == 4 else service.mask6
        table = f"stick_{_plain(service.listener)}_{version}_{service.sticky}_{bits}"
        client = f"{word} saddr & {ipaddress.ip_network(f'{anything}/{bits}').netmask}"
        life = f"flags dynamic,timeout; timeout {service.sticky}s"
        made.add("map", table, f"{{ type {kind} : mark; size {_CLIENTS}; {life}; }}")
    for target in serving:
        mark, name = known[service.listener, target.name], _at(service, target)
        made.add("chain", name)
        if table:
            made.rule(name, f"update @{table} {{ {client} timeout {service.sticky}s : {mark:#x} }}")
        address = f"[{target.address}]" if version == 6 else target.address
        count = f'counter name "{counters(service)[0]}"'
        to = f"dnat {word} to {address}:{target.port}"
        made.rule(name, f"meta l4proto {service.protocol} ct mark set {mark:#x} {count} {to}")
    if table and serving:
        made.rule(chain, f"meta mark set {client} map @{table}")
        pairs = (f"{known[service.listener, each.name]:#x} : goto {_at(service, each)}" for each in serving)
        made.rule(chain, f"meta mark vmap {{ {', '.join(pairs)} }}")
        # An update only makes an entry live longer: one of a target that is gone has to go first.
        made.rule(chain, f"delete @{table} {{ {client} : 0x0 }}")
    chosen = usable(reachable, down)
    if chosen and service.balance == LEAST:
        made.add("chain", _fewest(service, version))
        made.rule(chain, f"goto {_fewest(service, version)}")
    elif chosen:
        parts = {target: target.weight for target in chosen}
        made.rule(chain, f"{_pick(service, word, sum(parts.values()))} vmap {_ranges(service, parts)}")
    made.rule(chain, "drop")


def _levels(
    services: Sequence[Service], down: Mapping[str, Collection[str]], flows: Mapping[int, int]
) -> Iterator[tuple[str, str]]:
    """Chain and rule of each service and family where flows decide."""
    known = marks(services)
    for service, version in itertools.product(services, _WORDS):
        chosen = usable(_reachable(service, version), down.get(service.listener, ()))
        if service.balance != LEAST or not chosen:
            continue
        has = {target: flows.get(known[service.listener, target.name], 0) for target in chosen}
        parts = shares({target: target.weight for target in chosen}, has)
        pick = f"numgen random mod {sum(parts.values())}"
        yield _fewest(service, version), f"{pick} vmap {_ranges(service, parts)}"


def _reachable(service: Service, version: int) -> list[Target]:
    """Those that a VIP of this family can send to: those of the same, if there is such a VIP."""
    if not any(_version(vip) == version for vip in service.vips):
        return []
    return [each for each in service.targets if _version(each.address) == version]


def _ranges(service: Service, parts: Mapping[Target, int]) -> str:
    """As many numbers for each target as it has parts."""
    start, found = 0, []
    for target, part in parts.items():
        last = start + part - 1
        found.append(f"{start if start == last else f'{start}-{last}'} : goto {_at(service, target)}")
        start = last + 1
    return f"{{ {', '.join(found)} }}"


def _pick(service: Service, word: str, total: int) -> str:
    """A number below the total."""
    if service.balance == "source":
        return f"jhash {word} saddr mod {total} seed {_SEED}"
    if service.balance == "flow":
        return f"jhash {word} saddr . {service.protocol} sport mod {total} seed {_SEED}"
    return f"numgen inc mod {total}"


def _count(made: Script, services: Iterable[Service], known: Marks) -> None:
    for direction, index in (("original", 1), ("reply", 2)):
        pairs = [
            f'{known[service.listener, target.name]:#x} : "{counters(service)[index]}"'
            for service in services
            for target in service.targets
        ]
        if pairs:
            made.rule(
                "forward", f"ct direction {direction} counter name ct mark map {{ {', '.join(pairs)} }}"
            )


def _fewest(service: Service, version: int) -> str:
    return f"fewest_{_plain(service.listener)}_{version}"


def _at(service: Service, target: Target) -> str:
    return f"at_{_plain(service.listener)}_{_plain(target.name)}"


def _plain(identifier: str) -> str:
    return identifier.replace("-", "")


def _statement(verb: str, name: str) -> str:
    kind, _, plain = name.partition(" ")
    return f"{verb} {kind} {TABLE} {plain}"


def _version(address: str) -> int:
    return 6 if ":" in address else 4
