"""What keeps amphorae to their own addresses: an nftables table for the ports of both bridges.

An amphora sends from its MAC address and from its own addresses and its load balancer's, be it IP, ARP or
neighbor discovery, and is no router. The exception is datagrams of pools with ``preserve_source``, which
amphorae forward as they come: with the addresses of clients that have sent to them in the last minutes.

``network/guards/<namespace>.json`` is what an amphora's ports may send from, so that the table can be made
anew. Ports without such a file (an operator's, amphorae of earlier versions) are let through; ``hydria status
check`` names the amphorae among them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hydria.drivers import state_dir
from hydria.drivers.network import firewall
from hydria.model.errors import DriverError

# Link -> its MAC address, and the addresses that it may send from.
Ports = Mapping[str, tuple[str, Iterable[str]]]

_CLIENTS = "size 65536; flags dynamic,timeout; timeout 5m;"
_BASE = f"""
add table bridge {{table}}
delete table bridge {{table}}
table bridge {{table}} {{{{
  set ports {{{{ type ifname; }}}}
  set sources4 {{{{ type ifname . ether_addr . ipv4_addr; }}}}
  set sources6 {{{{ type ifname . ether_addr . ipv6_addr; }}}}
  set macs {{{{ type ifname . ether_addr; }}}}
  set neighbors {{{{ typeof iifname . @th,64,128; }}}}
  set clients4 {{{{ type ifname . ipv4_addr; {_CLIENTS} }}}}
  set clients6 {{{{ type ifname . ipv6_addr; {_CLIENTS} }}}}
  chain from_amphorae {{{{
    type filter hook prerouting priority -300; policy accept;
    iifname . ether saddr . ip saddr @sources4 accept
    iifname != @ports accept
    icmpv6 type {{{{ nd-router-advert, nd-redirect }}}} drop
    icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @neighbors drop
    iifname . ether saddr . ip6 saddr @sources6 accept
    iifname . ether saddr . arp saddr ip @sources4 iifname . arp saddr ether . arp saddr ip @sources4 accept
    iifname . ether saddr @macs meta l4proto {{{{ udp, sctp }}}} iifname . ip saddr @clients4 accept
    iifname . ether saddr @macs meta l4proto {{{{ udp, sctp }}}} iifname . ip6 saddr @clients6 accept
    drop
  }}}}
  chain to_amphorae {{{{
    type filter hook postrouting priority 300; policy accept;
    oifname != @ports accept
    ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 accept
    meta l4proto {{{{ udp, sctp }}}} update @clients4 {{{{ oifname . ip saddr }}}}
    meta l4proto {{{{ udp, sctp }}}} update @clients6 {{{{ oifname . ip6 saddr }}}}
  }}}}
}}}}
"""


def make(table: str, root: Path) -> None:
    """Make the table anew, with all ports that are known. Raises DriverError where the kernel has no such."""
    with _exclusive(root) as directory:
        lines = [line for path in directory.glob("*.json") for line in _elements("add", table, _read(path))]
        try:
            firewall.apply(_BASE.format(table=table) + "\n".join(lines) + "\n")
        except DriverError as error:
            raise DriverError(
                "The packet filter for bridges, which keeps amphorae to their own addresses, cannot be loaded"
                f" (it needs Linux 5.3 or later with nft_meta_bridge, and nft 1.0.1): {error}"
            ) from error


def admit(table: str, root: Path, name: str, ports: Ports) -> None:
    """From now on the ports of an amphora send from these addresses alone."""
    with _exclusive(root) as directory:
        kept = {link: [mac, list(addresses)] for link, (mac, addresses) in ports.items()}
        state_dir.replace(directory / f"{name}.json", json.dumps(kept).encode(), mode=0o644)
        firewall.apply("\n".join(_elements("add", table, ports)) + "\n")


def allow(table: str, root: Path, link: str, addresses: Iterable[str]) -> None:
    """From now on a port may send from these addresses, too; one that is not guarded may already."""
    with _exclusive(root) as directory:
        _change(table, directory, link, lambda own: [*own, *(each for each in addresses if each not in own)])


def deny(table: str, root: Path, link: str, addresses: Iterable[str]) -> bool:
    """From now on a port does not send from these addresses; False when the port is not guarded."""
    gone = set(addresses)
    with _exclusive(root) as directory:
        return _change(table, directory, link, lambda own: [each for each in own if each not in gone])


def _change(table: str, directory: Path, link: str, change: Callable[[list[str]], list[str]]) -> bool:
    """Change the addresses of a port, on disk before in the packet filter; False when it is not known."""
    for path in directory.glob("*.json"):
        ports = dict(_read(path))
        if link not in ports:
            continue
        mac, before = ports[link][0], list(ports[link][1])
        after = change(before)
        if after != before:
            ports[link] = mac, after
            state_dir.replace(path, json.dumps(ports).encode(), mode=0o644)
            # Added first, since what is not there cannot be deleted; then all that is right, in one step.
            old, new = {link: (mac, before)}, {link: (mac, after)}
            lines = [*_elements("add", table, old), *_elements("delete", table, old)]
            firewall.apply("\n".join([*lines, *_elements("add", table, new)]) + "\n")
        return True
    return False


def forget(table: str, root: Path, name: str) -> None:
    """Forget the ports of an amphora, if they are known."""
    path = root / "network" / "guards" / f"{name}.json"
    if not path.exists():
        return
    with _exclusive(root):
        ports = _read(path)
        path.unlink(missing_ok=True)
        # Added first, since what is not there cannot be deleted: who flushes all rules takes them along.
        lines = [*_elements("add", table, ports), *_elements("delete", table, ports)]
        if lines and firewall.listing(table, "bridge"):
            firewall.apply("\n".join(lines) + "\n")


def weaknesses(table: str, root: Path, ports: Iterable[str]) -> Iterator[str]:
    """The ports of amphorae that may send from any address, as sentences."""
    there = firewall.elements(table, "ports")
    known = {link for path in (root / "network" / "guards").glob("*.json") for link in _read(path)}
    for port in sorted(ports):
        if port not in known:
            yield (
                f"The port {port} may send from any address: its amphora is of an earlier version. Have the"
                " load balancer fail over."
            )
        elif port not in there:
            yield f"The port {port} may send from any address: start a worker again."


def dismantle(table: str) -> None:
    """Remove the table, if it is there."""
    if firewall.listing(table, "bridge"):
        firewall.apply(f"delete table bridge {table}\n")


def _elements(verb: str, table: str, ports: Ports) -> Iterator[str]:
    """Commands for all elements of ports; values are written as they were parsed."""
    for link, (mac, addresses) in ports.items():
        own = [ipaddress.ip_address(address) for address in addresses]
        linklocal = _link_local(mac)
        v6 = [address for address in own if address.version == 6] + [linklocal]
        members = {
            "ports": [f'"{link}"'],
            "macs": [f'"{link}" . {mac}'],
            "sources4": [f'"{link}" . {mac} . {each}' for each in own if each.version == 4],
            # The unspecified address asks who has one, and says which groups are listened to; nobody answers.
            "sources6": [f'"{link}" . {mac} . {each}' for each in (*v6, "::")],
            "neighbors": [f'"{link}" . {int(each):#034x}' for each in v6],
        }
        for name, elements in members.items():
            if elements:
                yield f"{verb} element bridge {table} {name} {{ {', '.join(elements)} }}"


def _link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that the kernel makes of a MAC address (EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    suffix = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + suffix)


def _read(path: Path) -> Ports:
    kept = state_dir.read_json(path)
    return (
        {link: (mac, addresses) for link, (mac, addresses) in kept.items()} if isinstance(kept, dict) else {}
    )


@contextmanager
def _exclusive(root: Path) -> Iterator[Path]:
    directory = root / "network" / "guards"
    state_dir.make_directory(directory, root)
    with state_dir.exclusive(directory):
        yield directory
