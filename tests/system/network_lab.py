"""Other machines around the host, as network namespaces: members and clients that are not the host itself."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*words: str, namespace: str = "") -> None:
    inside = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *inside, *words], check=True, capture_output=True, timeout=10)


def within(namespace: str, work: Callable[[], T]) -> T:
    """What ``work`` returns when a thread runs it in a network namespace; its sockets stay there."""
    if not namespace:
        return work()

    def enter() -> T:
        with Path("/run/netns", namespace).open() as file:
            if _libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


@dataclass(frozen=True)
class Machine:
    """A namespace, on a cable of its own to the host. addresses: its own, each family's first one first."""

    name: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]


@contextmanager
def machine(
    name: str, networks: tuple[str, ...], addresses: int = 1, *, routed: bool = True
) -> Iterator[Machine]:
    """A machine on networks like ``10.0.0.`` and ``fd00::``; the host has .1 there. Without a route it
    knows its neighbors alone."""  # fmt: skip
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    ip("netns", "add", name)
    try:
        ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"{name}h", "up")
        ip("link", "set", "lo", "up", namespace=name)
        ip("link", "set", "eth0", "up", namespace=name)
        own: list[str] = []
        gateways = tuple(f"{network}1" for network in networks)
        for network, gateway in zip(networks, gateways, strict=True):
            length, more = ("64", ("nodad",)) if ":" in network else ("24", ())
            ip("address", "add", f"{gateway}/{length}", "dev", f"{name}h", *more)
            for number in range(2, 2 + addresses):
                own.append(f"{network}{number}")
                ip("address", "add", f"{own[-1]}/{length}", "dev", "eth0", *more, namespace=name)
            if routed:
                ip("route", "add", "default", "via", gateway, namespace=name)
        yield Machine(name, tuple(own), gateways)
    finally:
        subprocess.run(["ip", "link", "delete", f"{name}h"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


class Server:
    """Answers HTTP requests with its name, and remembers who asked."""

    def __init__(self, name: str, address: str, namespace: str = "", port: int = 0) -> None:
        self.name, self.address = name, address
        self.peers: set[str] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = within(
            namespace, lambda: socket.create_server((address, port), family=family, backlog=64)
        )
        self.port = int(self._listener.getsockname()[1])
        self._body = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            self.peers.add(peer[0])
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            waiting = b""
            try:
                while chunk := connection.recv(65536):
                    waiting += chunk
                    while b"\r\n\r\n" in waiting:
                        _, _, waiting = waiting.partition(b"\r\n\r\n")
                        connection.sendall(self._body)
            except OSError:
                return


@contextmanager
def serving(*servers: Callable[[], Server]) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        made = []
        for make in servers:
            made.append(make())
            stack.callback(made[-1].close)
        yield made


def connect(
    machine: Machine, address: str, port: int, source: str = "", timeout: float = 1.0
) -> socket.socket:
    return within(
        machine.name,
        lambda: socket.create_connection((address, port), timeout, (source, 0) if source else None),
    )


def ask(machine: Machine, address: str, port: int = 80, source: str = "", timeout: float = 1.0) -> str:
    """The name of who answers a client on that machine; "" for nobody."""
    try:
        with connect(machine, address, port, source, timeout) as connection:
            return talk(connection)
    except (OSError, IndexError):
        return ""


def talk(connection: socket.socket) -> str:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        chunk = connection.recv(65536)
        if not chunk:
            return ""
        answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode() if head.startswith(b"HTTP/1.1 200") else ""
