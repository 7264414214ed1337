"""A host of its own with two amphorae of two tenants, and what an attacker sends there.

To be run by ``driver_lab.run_alone``. The amphorae are namespaces, plugged by the drivers; what runs in them is
the attacker's, so that no good conduct of an agent protects anybody.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydria.drivers.compute.interface import AmphoraSpec
from tests import driver_lab
from tests.driver_lab import shell
from tests.system.network_lab import T, within

IP_TRANSPARENT = 19  # any source address, for who has CAP_NET_ADMIN
LISTEN = (
    "import socket, threading, time\n"
    "s = socket.create_server(('::', {port}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
    "print(flush=True)\n"
    "while True: s.accept()[0].close()\n"
)


@dataclass
class Amphora:
    """One of them; vip, vip6: its load balancer's."""

    host: driver_lab.Host
    spec: AmphoraSpec
    name: str
    vip: str
    vip6: str

    @property
    def lb(self) -> str:
        return self.spec.lb_network.port.addresses[0].address

    def vip_port(self, version: int) -> str:
        """Its own address on the VIP network."""
        found = self.spec.attachments[0].addresses
        return next(each.partition("/")[0] for each in found if (":" in each) == (version == 6))

    def run(self, work: Callable[[], T]) -> T:
        return within(self.name, work)

    def link(self, number: int) -> str:
        """The host's end of its interface of that number."""
        port = (self.spec.lb_network, *self.spec.attachments)[number].port
        return "hy" + port.id.replace("-", "")[:11]


@contextmanager
def alone(
    state_dir: str,
    *,
    call_iptables: int = 0,
    command: tuple[str, ...] = ("sleep", "600"),
    **changed: dict[str, object],
) -> Iterator[driver_lab.Host]:
    """The drivers on a host with one interface (192.168.77.2), to a neighbor (192.168.77.1) who knows no way back.

    call_iptables: whether bridged packets pass iptables' and nftables' IP hooks, as where Docker runs.
    command: what runs in amphorae; () for the agent.
    """  # fmt: skip
    shell(
        "mount -t tmpfs tmpfs /run; mkdir /run/netns; ip link set lo up;"
        " sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"
        " net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
    )
    neighbor("beyond", "out", "192.168.77.", "fd77::")
    shell("ip route add default via 192.168.77.1")
    bridged = Path("/proc/sys/net/bridge")
    if bridged.exists():
        for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"):
            (bridged / name).write_text(str(call_iptables))
    with driver_lab.host(Path(state_dir), *command, **changed) as made:
        yield made


def neighbor(name: str, interface: str, v4: str, v6: str) -> None:
    """A namespace at the other end of an interface of the host, which is .2 there; everybody listens on port 7."""
    shell(
        f"ip netns add {name};"
        f" ip netns exec {name} sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0;"
        f" ip link add {interface} type veth peer name eth0 netns {name};"
        f" ip link set {interface} up; ip addr add {v4}2/24 dev {interface};"
        f" ip addr add {v6}2/64 dev {interface} nodad; ip -n {name} link set lo up;"
        f" ip -n {name} link set eth0 up; ip -n {name} addr add {v4}1/24 dev eth0;"
        f" ip -n {name} addr add {v6}1/64 dev eth0 nodad;"
        f" ip -n {name} route add default via {v4}2; ip -n {name} -6 route add default via {v6}2"
    )
    listen(name)


def listen(namespace: str = "", port: int = 7) -> None:
    """Have somebody accept connections there until the test ends."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    listener = subprocess.Popen(
        [*inside, "setpriv", "--pdeathsig=KILL", "python3", "-c", LISTEN.format(port=port)],
        stdout=subprocess.PIPE,
    )
    assert listener.stdout is not None
    listener.stdout.readline()


def amphora(host: driver_lab.Host) -> Amphora:
    """Built by the drivers, with its addresses on both networks, as its agent would have set them."""
    order = host.order()
    vip = host.network.create_port(
        host.vip_network_id, name=f"vip-of-{order.amphora_id}", owner=f"lb-{order.load_balancer_id}"
    )
    vips = tuple(each.address for each in vip.addresses)
    order = replace(order, vips=vips)
    name = host.compute.order(order).compute_id
    dress(host, order, name)
    listen(name)
    v4, v6 = sorted(vips, key=lambda each: ":" in each)
    return Amphora(host, order, name, v4, v6)


def dress(host: driver_lab.Host, order: AmphoraSpec, name: str) -> None:
    """Give an amphora the addresses and routes that its agent would give it."""
    vips = tuple(f"{each}/{128 if ':' in each else 32}" for each in order.vips)
    for address in (*order.attachments[0].addresses, *vips):
        shell(f"ip -n {name} addr add {address} dev eth1 {'nodad' if ':' in address else ''}")
    for held in order.attachments[0].port.addresses:
        found = host.network.subnet(held.subnet_id)
        shell(f"ip -n {name} -{found.version} route add default via {found.gateway}")


def say(namespace: str, address: str, port: int) -> None:
    """Send a datagram; PermissionError when a packet filter in that namespace drops it."""

    def work() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (address, port))

    within(namespace, work)


def connects(namespace: str, address: str, port: int = 7, seconds: float = 1.0, source: str = "") -> bool:
    """Whether a TCP connection from a namespace ("": the host) comes about."""

    def attempt() -> bool:
        try:
            bound = (source, 0) if source else None
            socket.create_connection((address, port), seconds, bound).close()
        except OSError:
            return False
        return True

    return within(namespace, attempt)


def heard(receiver: socket.socket, send: Callable[[], object]) -> tuple[bytes, str] | None:
    """What a datagram socket gets after ``send``, and from whom; None for nothing within half a second."""
    receiver.settimeout(0.5)
    send()
    try:
        data, peer = receiver.recvfrom(100)
    except TimeoutError:
        return None
    return data, str(peer[0])


def mac_of(namespace: str, interface: str) -> str:
    inside = f"-n {namespace}" if namespace else ""
    return str(json.loads(shell(f"ip -j {inside} link show {interface}"))[0]["address"])
