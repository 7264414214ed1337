"""Root part: where nothing in this amphora may begin to talk to, whatever a member's address says.

A table of its own, which no command reaches: the agent's word decides about the other two alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from hydria.amphora import program
from hydria.amphora.faults import Failed

_TABLE = "inet hydria_closed"


def close(networks: Collection[str], opened: Iterable[str]) -> None:
    """Drop what begins towards these networks, but not to the addresses of controllers and log receivers.

    Answers go: to controllers, which ask over the LB network, and to clients of any address. There is no
    connection tracking in it, which would cost all traffic. Raises Failed.
    """
    v4 = [ipaddress.IPv4Network(text) for text in networks if ":" not in text]
    v6 = [ipaddress.IPv6Network(text) for text in networks if ":" in text]
    closed = {
        "ip": [str(each) for each in ipaddress.collapse_addresses(v4)],
        "ip6": [str(each) for each in ipaddress.collapse_addresses(v6)],
    }
    if not any(closed.values()):
        return
    drops = [f"{family} daddr {{ {', '.join(found)} }} drop" for family, found in closed.items() if found]
    known = [ipaddress.ip_address(address) for address in opened]
    accepted = [f"{'ip6' if each.version == 6 else 'ip'} daddr {each} accept" for each in known]
    output = [
        "tcp flags & (syn | ack) != syn accept",
        "icmp type != echo-request accept",
        "icmpv6 type != echo-request accept",
        *accepted,
        *drops,
    ]
    rules = "\n".join((f"table {_TABLE} {{", *_chain("output", output), *_chain("forward", drops), "}\n"))
    status, said = program.run("nft", "-f", "-", text=f"add table {_TABLE}\ndelete table {_TABLE}\n{rules}")
    if status:
        raise Failed(f"nft: {said.strip()[:1000]}")


def _chain(hook: str, rules: Iterable[str]) -> Iterable[str]:
    return (f"chain {hook} {{", f"type filter hook {hook} priority -1; policy accept;", *rules, "}")
