"""The amphora's packet filter: ``allowed_cidrs`` of listeners, enforced before HAProxy is bothered.

HAProxy refuses the same clients once more (haproxy/frontend.py), so that nobody gets in during the moments
in which one of the two is already changed and the other is not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from hydria.model.listener import Listener
from hydria.model.tree import Tree

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_TABLE = "table inet hydria"
_FAMILIES = {4: "ip", 6: "ip6"}


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
    rules = [rule for listener in restricted for rule in _rules(listener, vips)]
    if not rules:
        return ""
    lines = [
        _TABLE,  # so that there is one to delete
        f"delete {_TABLE}",
        f"{_TABLE} {{",
        "\tchain input {",
        "\t\ttype filter hook input priority filter; policy accept;",
        *(f"\t\t{rule}" for rule in rules),
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"


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
