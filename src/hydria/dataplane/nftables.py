"""The amphora's packet filter: ``allowed_cidrs`` of listeners, enforced before HAProxy is bothered.

HAProxy refuses the same clients once more (haproxy/frontend.py), so that nobody gets in during the moments
in which one of the two is already changed and the other is not.

A client that is dropped silently is not to hear of it either. HAProxy, which is not privileged, can only give
what ends the connection a hop limit of 1; clients on the VIP's own network would get it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from hydria.model.listener import Listener
from hydria.model.statuses import RateLimitAction
from hydria.model.tree import Tree

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_TABLE = "table inet hydria"
_FAMILIES = {4: "ip", 6: "ip6"}
_HOPS = {4: "ttl", 6: "hoplimit"}


def render(tree: Tree) -> str:
    """What ``nft -f`` reads to replace the amphora's own table; "" if nothing is restricted."""
    balancer = tree.load_balancer
    if not balancer.admin_state_up:
        return ""
    vips = [ipaddress.ip_address(address) for address in tree.vip_addresses()]
    restricted = [
        each
        for each in tree.listeners
        if each.admin_state_up and each.allowed_cidrs and each.transport == "TCP"
    ]
    restricted.sort(key=lambda listener: (listener.created_at, listener.id))
    chains = {
        "input": [rule for listener in restricted for rule in _rules(listener, vips)],
        "output": [rule for listener in _dropping(tree) for rule in _silent(listener, vips)],
    }
    if not any(chains.values()):
        return ""
    lines = [
        _TABLE,  # so that there is one to delete
        f"delete {_TABLE}",
        f"{_TABLE} {{",
        *(line for hook, rules in chains.items() if rules for line in _chain(hook, rules)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _chain(hook: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {hook} {{"
    yield f"\t\ttype filter hook {hook} priority filter; policy accept;"
    yield from (f"\t\t{rule}" for rule in rules)
    yield "\t}"


def _dropping(tree: Tree) -> list[Listener]:
    """The listeners with a rate limit policy that drops connections silently."""
    dropping = {
        policy.listener_id
        for policy in tree.limit_policies
        if policy.admin_state_up and policy.action is RateLimitAction.SILENT_DROP
    }
    found = [each for each in tree.listeners if each.admin_state_up and each.id in dropping]
    return sorted(found, key=lambda listener: (listener.created_at, listener.id))


def _silent(listener: Listener, vips: Sequence[Address]) -> Iterator[str]:
    """The rules for each family of the VIP; what HAProxy sends otherwise has many hops before it."""
    for version, family in _FAMILIES.items():
        sources = _set(vip for vip in vips if vip.version == version)
        if sources:
            rule = f"{family} saddr {sources} tcp sport {listener.protocol_port:d}"
            yield f"{rule} {family} {_HOPS[version]} 1 drop"


def _rules(listener: Listener, vips: Sequence[Address]) -> Iterator[str]:
    """One rule per family of the VIP; all that reaches the text are numbers and parsed addresses."""
    allowed = [ipaddress.ip_network(cidr) for cidr in listener.allowed_cidrs or ()]
    for version, family in _FAMILIES.items():
        targets = _set(vip for vip in vips if vip.version == version)
        sources = _collapsed(network for network in allowed if network.version == version)
        if not targets or any(network.prefixlen == 0 for network in sources):
            continue
        # Without the VIP in the rule, a listener on the agent's port would shut the controllers out.
        rule = f"{family} daddr {targets} tcp dport {listener.protocol_port:d}"
        yield f"{rule} {family} saddr != {_set(sources)} drop" if sources else f"{rule} drop"


def _set(elements: Iterable[Address | Network]) -> str:
    texts = [str(element) for element in elements]
    return f"{{ {', '.join(texts)} }}" if texts else ""


def _collapsed(networks: Iterable[Network]) -> list[Network]:
    """A set without overlap, which nft would refuse."""
    return list(ipaddress.collapse_addresses(networks))  # type: ignore[type-var]  # of one family, as they come
