"""The nftables table of the bridge driver: what the host forwards and hides for amphorae.

The table's comment keeps the host's settings from before Hydria (:mod:`.forwarding`), for other deployments
on the same host that come later and may leave last.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hydria.drivers import host
from hydria.drivers.network.addressing import Range, Segment
from hydria.drivers.network.forwarding import OURS
from hydria.model.errors import DriverError
from hydria.wire.logs import endpoint

PREFIX = "hydria_"
_SECONDS = 20
_TABLE = re.compile(r"^table inet (" + PREFIX + r"[0-9a-f]{6})$", re.MULTILINE)
_COMMENT = re.compile(r'^\s*comment "before: ([^"]*)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Host:
    """What the rules need to know of this host.

    before: its forwarding before Hydria, packed. routers: the IP versions in which it forwards for others,
    too. interfaces: those that IPv4 forwarding was turned on for. users: who may talk to agents. members: its
    own addresses that amphorae may reach besides the gateway's.
    """

    before: str
    routers: frozenset[int] = frozenset()
    interfaces: tuple[str, ...] = ()
    users: tuple[int, ...] = (0,)
    members: tuple[str, ...] = ()


def ruleset(
    table: str,
    lb: Segment,
    vip: Segment,
    this: Host,
    *,
    masquerade: bool,
    heartbeat_ports: Iterable[int],
    log_targets: Iterable[str] = (),
    log_protocol: str = "UDP",
) -> str:
    """The whole table, replacing what it was, in one transaction.

    The LB network is between the host's controllers and each amphora alone: what amphorae may begin there is
    heartbeats, what begins towards them is of the controllers' users, and the host's address there is nobody
    else's business, though the host would answer for it on any interface. Amphorae reach members through the
    VIP network's gateway; beyond this host only as the host itself, since nobody there knows a way back; on
    the host at the gateway's address alone. Receivers of their logs may be at the host's LB address, too.
    """
    ports = ", ".join(str(port) for port in sorted({*heartbeat_ports}))
    elsewhere = [
        f'    iifname != {{ "lo", "{lb.bridge}" }} {_family(found)} daddr {found.network} drop'
        for found in lb.ranges
    ]
    hide = [
        f'    {_family(found)} saddr {found.network} oifname != "{vip.bridge}" masquerade'
        for found in vip.ranges
    ]
    users = ", ".join(str(user) for user in sorted({*this.users}))
    lines = [
        f"add table inet {table}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        f'  comment "before: {this.before}"',
        "  chain input {",
        "    type filter hook input priority filter; policy accept;",
        *elsewhere,
        f'    iifname "{vip.bridge}" jump members',
        f'    iifname != "{lb.bridge}" accept',
        "    ct state established,related accept",
        f"    udp dport {{ {ports} }} accept",
        *_logs(lb, log_targets, log_protocol.lower()),
        "    meta l4proto { icmp, ipv6-icmp } accept",
        "    drop",
        "  }",
        "  chain members {",
        "    ct state established,related accept",
        *_members(vip, this.members),
        "  }",
        "  chain output {",
        "    type filter hook output priority filter; policy accept;",
        f'    oifname "{lb.bridge}" jump agents',
        *(f"    {_family(found)} daddr {found.network} jump agents" for found in lb.ranges),
        "  }",
        "  chain agents {",
        "    ct state established,related accept",
        f"    meta skuid != {{ {users} }} reject",
        "  }",
        "  chain forward {",
        "    type filter hook forward priority filter; policy accept;",
        f'    iifname "{lb.bridge}" drop',
        f'    oifname "{lb.bridge}" drop',
        f'    iifname "{vip.bridge}" accept',
        f'    oifname "{vip.bridge}" accept',
        *_no_router(this),
        "  }",
        "  chain postrouting {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        *(hide if masquerade else []),
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines)


def _members(vip: Segment, more: Iterable[str]) -> Iterator[str]:
    """What of the host amphorae may begin to talk to; anything else but its neighbors' talk is dropped."""
    known = [*(str(found.host.ip) for found in vip.ranges), *more]
    v4 = ", ".join(sorted(address for address in known if ":" not in address))
    v6 = ", ".join(sorted(address for address in known if ":" in address))
    dropped = "fib daddr type local drop"
    yield f"    ip daddr != {{ {v4} }} {dropped}" if v4 else f"    meta nfproto ipv4 {dropped}"
    yield "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
    yield f"    ip6 daddr != {{ {v6} }} {dropped}" if v6 else f"    meta nfproto ipv6 {dropped}"


def _no_router(this: Host) -> Iterator[str]:
    """Keep the host from forwarding between networks that are none of Hydria's, where it did not before.

    Connections that began on another interface go on: it is somebody else who has turned that one on. Other
    deployments' bridges are theirs to judge.
    """
    ours = f'"{OURS}*"'
    names = ", ".join(f'"{name}"' for name in this.interfaces)
    if 4 not in this.routers and names:
        unknown = "ct state != { established, related }"
        yield f"    meta nfproto ipv4 iifname {{ {names} }} oifname != {ours} {unknown} drop"
    if 6 not in this.routers:
        yield f"    meta nfproto ipv6 iifname != {ours} oifname != {ours} drop"


def _logs(lb: Segment, targets: Iterable[str], protocol: str) -> Iterator[str]:
    here = {str(found.host.ip): found for found in lb.ranges}
    for target in dict.fromkeys(targets):
        host, port = endpoint(target)
        if host in here:
            yield f"    {_family(here[host])} daddr {host} {protocol} dport {port:d} accept"


def _family(found: Range) -> str:
    return "ip6" if found.network.version == 6 else "ip"


def apply(rules: str) -> None:
    """Give rules to the kernel. Raises DriverError with nft's words."""
    _nft("-f", "-", feed=rules)


def listing(table: str, family: str = "inet") -> str:
    """What the kernel has of a table, without what its sets hold; "" when it has no such table."""
    if f"table {family} {table}" not in _nft("list", "tables").splitlines():
        return ""
    return _nft("--terse", "list", "table", family, table)


def elements(table: str, name: str) -> set[str]:
    """What a set of interface names in a table of the bridge family holds; nothing where there is none."""
    if not listing(table, "bridge"):
        return set()
    return set(re.findall(r'"([^"]+)"', _nft("list", "set", "bridge", table, name)))


def check(table: str, rules: str) -> None:
    """Raise DriverError unless the kernel has as many chains and rules in a table as it was given."""
    given, found = _shape(rules), _shape(listing(table))
    if given != found:
        raise DriverError(
            f"The table inet {table} of the packet filter has {found} (lines by chain), though {given} were"
            " just loaded: something else on this host changes nftables."
        )


def _shape(text: str) -> dict[str, int]:
    """Chain -> how many lines it has."""
    found, chain = {}, ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            chain = words[1]
            found[chain] = 0
        elif words and chain and words != ["}"]:
            found[chain] += 1
    return found


def remove(table: str) -> None:
    """Remove a table if it is there."""
    apply(f"add table inet {table}\ndelete table inet {table}\n")


def deployments() -> dict[str, str]:
    """The tables of all Hydria deployments on this host -> what their comments keep."""
    found = {}
    for table in _TABLE.findall(_nft("list", "tables")):
        comment = _COMMENT.search(_nft("list", "table", "inet", table))
        found[table] = comment.group(1) if comment else ""
    return found


def obstacles(vip: Segment) -> Iterator[str]:
    """What else on this host drops what Hydria's table accepts: no table overrules another's drop."""
    chains = json.loads(_nft("-j", "list", "chains"))["nftables"]
    dropping = [
        f"chain {found['name']} of table {found['family']} {found['table']}"
        for found in (item["chain"] for item in chains if "chain" in item)
        if found.get("hook") == "forward" and found.get("policy") == "drop"
    ]
    if _legacy_forward_drops():
        dropping.append("chain FORWARD of iptables-legacy")
    for what in dropping:
        yield (
            f"The policy of {what} is to drop (Docker and ufw do that), so amphorae will not reach members"
            " beyond this host, nor will clients from there reach VIPs. Allow what goes through the bridge:"
            f" iptables -I FORWARD -i {vip.bridge} -j ACCEPT; iptables -I FORWARD -o {vip.bridge} -j ACCEPT"
            " (with Docker: chain DOCKER-USER in place of FORWARD)."
        )


def _legacy_forward_drops() -> bool:
    tables = Path("/proc/net/ip_tables_names")
    program = shutil.which("iptables-legacy", path=host.environment()["PATH"])
    if program is None or not tables.exists() or "filter" not in tables.read_text().split():
        return False
    listed = subprocess.run(
        [program, "-S", "FORWARD"], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    return "-P FORWARD DROP" in listed.stdout


def _nft(*arguments: str, feed: str = "") -> str:
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=feed,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
            env=host.environment(),
        )
    except FileNotFoundError as error:
        raise DriverError("The program nft is missing: install the package nftables.") from error
    except subprocess.CalledProcessError as error:
        raise DriverError(f"nft {' '.join(arguments)}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"nft {' '.join(arguments)} took longer than {_SECONDS} s.") from error
    return done.stdout
