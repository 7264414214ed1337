"""Links, addresses and routes of this host, over one netlink socket per program.

pyroute2 keeps a socket and an event loop per thread; here one thread owns them for all others, so that
short-lived threads leave nothing behind. The kernel makes one change of links at a time anyway.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from errno import EEXIST, ENODEV, ENOENT
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hydria.model.errors import DriverError

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
AnyInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_BRIDGE = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}
_NODAD = 0x02
_LOCAL_TABLE = 255
_ADVERTISED = 9  # RTPROT_RA
_UNICAST_OR_NOWHERE = (1, 6, 7, 8, 9)  # RTN_UNICAST, _BLACKHOLE, _UNREACHABLE, _PROHIBIT, _THROW


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the host."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    group: int
    alias: str = ""
    bridge: int = 0  # the index of the one that it is a port of
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What the host has an address in, or a route to. interface: "" for a route to nowhere."""

    network: AnyNetwork
    interface: str
    address: AnyInterface | None = None


class Netlink:
    """The host's links; every method may be called from any thread. Raises DriverError."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._owner: ThreadPoolExecutor | None = None
        self._pid = 0
        self._route: Any = None

    def link(self, name: str) -> Link | None:
        """Look up a link."""
        try:
            found = self._ask(f"look up {name}", lambda route: route.link("get", ifname=name))
        except DriverError as error:
            if _code(error) == ENODEV:
                return None
            raise
        return _link(found[0]) if found else None

    def links(self) -> list[Link]:
        """Every link of the host."""
        return [_link(found) for found in self._ask("list links", lambda route: list(route.get_links()))]

    def make_bridge(self, name: str, *, mac: str, mtu: int, alias: str = "") -> Link:
        """Make a bridge, or bring an existing one into shape, and set it up; ``alias``: a note for operators.

        The address is its own: without one a bridge takes the lowest of its ports', so that the gateway's
        MAC would change under the amphorae.
        """
        if self.link(name) is None:
            try:
                self._ask(
                    f"make the bridge {name}",
                    lambda route: route.link("add", ifname=name, kind="bridge", address=mac, **_BRIDGE),
                )
            except DriverError as error:
                if _code(error) != EEXIST:  # somebody else was faster
                    raise
        made = self.link(name)
        if made is None:
            raise DriverError(f"The bridge {name} has vanished while it was made.")
        self._ask(
            f"set up the bridge {name}",
            lambda route: route.link("set", index=made.index, mtu=mtu, state="up", ifalias=alias),
        )
        return made

    def add_address(self, link: Link, address: AnyInterface) -> None:
        """Give a link an address; without waiting for duplicates to answer (IPv6 DAD)."""
        more = {"flags": _NODAD} if address.version == 6 else {}
        try:
            self._ask(
                f"add {address} to {link.name}",
                lambda route: route.addr(
                    "add",
                    index=link.index,
                    address=str(address.ip),
                    prefixlen=address.network.prefixlen,
                    **more,
                ),
            )
        except DriverError as error:
            if _code(error) != EEXIST:
                raise

    def make_veth(
        self,
        name: str,
        *,
        group: int,
        bridge: int,
        peer: str,
        mac: str,
        namespace: int,
        mtu: int,
        isolated: bool,
    ) -> None:
        """Make a pair: ``name`` as an up port of ``bridge``, ``peer`` in the namespace of that descriptor.

        ``group`` is a number to find it by. ``isolated`` ports of a bridge reach the host, not each other.
        One message for the rest of it, so that nothing half-made can be left. An old pair of that name, whose
        namespace the kernel is still taking down, goes first.
        """

        def add(route: Any) -> Any:
            inside = {"ifname": peer, "net_ns_fd": namespace, "address": mac, "mtu": mtu}
            outside = {"ifname": name, "group": group, "master": bridge, "mtu": mtu, "state": "up"}
            return route.link("add", kind="veth", peer=inside, **outside)

        what = f"make the link {name} to {peer}"
        try:
            self._ask(what, add)
        except DriverError as error:
            if _code(error) != EEXIST:
                raise
            self.delete(name)
            self._ask(what, add)
        if isolated:
            self.isolate(name)

    def isolate(self, name: str) -> None:
        """Have a port of a bridge reach the host alone. Raises DriverError when it is not so afterwards."""
        self._ask(
            f"isolate {name}",
            lambda route: route.link("set", ifname=name, kind="bridge_slave", isolated=1),
        )
        # The library drops words that it does not know, and old kernels attributes: what counts is what is.
        link = self.link(name)
        if link is None or not link.isolated:
            raise DriverError(
                f"The port {name} of its bridge is not isolated, though it was asked to be: amphorae would"
                " reach each other. That needs Linux 4.18 or later."
            )

    def delete(self, name: str) -> None:
        """Remove a link if it is there."""
        try:
            self._ask(f"remove {name}", lambda route: route.link("del", ifname=name))
        except DriverError as error:
            if _code(error) != ENODEV:
                raise

    def forget_neighbor(self, link_index: int, address: str) -> None:
        """Have the host ask anew who has an address on a link, if it believes to know."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._ask(
                f"forget who has {address}",
                lambda route: route.neigh("del", family=family, dst=address, ifindex=link_index),
            )
        except DriverError as error:
            if _code(error) != ENOENT:
                raise

    def addresses(self) -> list[HostNetwork]:
        """The host's own addresses."""
        names = {link.index: link.name for link in self.links()}
        found = []
        for message in self._ask("list addresses", lambda route: list(route.get_addr())):
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            address = ipaddress.ip_interface(f"{text}/{message['prefixlen']}")
            found.append(HostNetwork(address.network, names.get(message["index"], ""), address))
        return found

    def routes(self) -> list[HostNetwork]:
        """The host's routes, without default routes and the kernel's own to local addresses."""
        names = {link.index: link.name for link in self.links()}
        return list(_routes(self._ask("list routes", lambda route: list(route.get_routes())), names))

    def advertised(self) -> set[str]:
        """The interfaces whose default route comes from router advertisements."""
        names = {link.index: link.name for link in self.links()}
        routes = self._ask("list routes", lambda route: list(route.get_routes()))
        return {
            names.get(message.get_attr("RTA_OIF"), "")
            for message in routes
            if message["proto"] == _ADVERTISED and not message.get_attr("RTA_DST")
        }

    def _ask(self, what: str, request: Callable[[Any], Any]) -> Any:
        try:
            return self._thread().submit(self._run, request).result()
        except NetlinkError as error:
            raise DriverError(f"Cannot {what}: {error.args[1]} ({error.code}).") from error
        except OSError as error:
            raise DriverError(f"Cannot {what}: {error}.") from error

    def _run(self, request: Callable[[Any], Any]) -> Any:
        if self._route is None:
            self._route = IPRoute()
        return request(self._route)

    def _thread(self) -> ThreadPoolExecutor:
        """The thread that owns the socket; a new one in a forked child."""
        with self._guard:
            if self._owner is None or self._pid != os.getpid():
                self._owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
                self._pid, self._route = os.getpid(), None
            return self._owner


def _link(message: Any) -> Link:
    return Link(
        message["index"],
        message.get_attr("IFLA_IFNAME"),
        message.get_attr("IFLA_ADDRESS") or "",
        message.get_attr("IFLA_MTU") or 0,
        message["state"] == "up",
        message.get_attr("IFLA_GROUP") or 0,
        message.get_attr("IFLA_IFALIAS") or "",
        message.get_attr("IFLA_MASTER") or 0,
        bool(_nested(message, "IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_ISOLATED")),
    )


def _nested(message: Any, *names: str) -> Any:
    for name in names:
        message = message.get_attr(name) if message is not None else None
    return message


def _routes(messages: Iterable[Any], names: dict[int, str]) -> Iterable[HostNetwork]:
    for message in messages:
        destination = message.get_attr("RTA_DST")
        table = message.get_attr("RTA_TABLE") or message["table"]
        if not destination or table == _LOCAL_TABLE or message["type"] not in _UNICAST_OR_NOWHERE:
            continue
        network = ipaddress.ip_network(f"{destination}/{message['dst_len']}", strict=False)
        yield HostNetwork(network, names.get(message.get_attr("RTA_OIF"), ""))


def _code(error: DriverError) -> int:
    cause = error.__cause__
    return cause.code if isinstance(cause, NetlinkError) else 0
