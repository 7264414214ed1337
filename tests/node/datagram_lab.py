"""What tests of datagram services share: members that echo, clients that keep a flow, and their addresses."""

from __future__ import annotations

import dataclasses
import os
import select
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from hydria.wire.state import DesiredState, Service, Target
from tests.node.agent_lab import ETH1, VIP, VIP6, Lab, Outside

OUTSIDE, OUTSIDE6 = "10.78.0.1", "fd78::1"
LISTENER = "11111111-0000-4000-8000-000000000053"
POOL = "22222222-0000-4000-8000-000000000053"
SCTP = Path("/usr/lib/usrsctp")


class Echo:
    """A server that answers every datagram with its own name and who asked."""

    def __init__(self, where: Outside, name: str, address: str = OUTSIDE) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.name = name
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.socket = where.run(lambda: _bound(family, address))
        self.target = Target(name, address, self.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                _, client = self.socket.recvfrom(2048)
                if client is None:  # shut down
                    return
                self.asked.set()
                self.may_answer.wait()
                self.socket.sendto(f"{self.name} {client[0]}".encode(), client)

    def close(self) -> None:
        self.may_answer.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join(5)


def _bound(family: socket.AddressFamily, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind((address, 0))
    return made


@contextmanager
def echoes(lab: Lab, count: int, address: str = OUTSIDE) -> Iterator[list[Echo]]:
    with ExitStack() as stack:
        made = [Echo(lab.outside, f"m{number}", address) for number in range(1, count + 1)]
        for each in made:
            stack.callback(each.close)
        yield made


def udp(
    generation: int, *targets: Target, vips: tuple[str, ...] = (VIP, VIP6), **more: object
) -> DesiredState:
    service = Service(LISTENER, POOL, "udp", vips, 53, targets, **more)  # type: ignore[arg-type]  # of the test
    return DesiredState(generation, interfaces=(ETH1,), services=(service,))


class Client:
    """One flow: a socket that keeps its port."""

    def __init__(self, lab: Lab, vip: str = VIP, port: int = 53, source: str = "") -> None:
        family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        self.socket = lab.outside.run(lambda: socket.socket(family, socket.SOCK_DGRAM))
        self.socket.settimeout(0.4)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((vip, port))

    def ask(self, times: int = 3) -> str:
        """Who answers; "" for nobody. A datagram may be lost."""
        for _ in range(times):
            with suppress(OSError):
                self.socket.send(b"?")
                return self.socket.recv(100).decode().split()[0]
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(lab: Lab, times: int = 3, **how: object) -> str:
    with Client(lab, **how) as client:  # type: ignore[arg-type]  # as given
        return client.ask(times)


def answers(lab: Lab, count: int, **how: object) -> Counter[str]:
    return Counter(ask(lab, **how) for _ in range(count))


def changed(target: Target, **more: object) -> Target:
    return dataclasses.replace(target, **more)  # type: ignore[arg-type]  # of the test


class SctpClient:
    """One association with the VIP, by a program that says what comes back."""

    def __init__(self, namespace: str) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "stdbuf", "-oL", SCTP / "client", VIP, "7777"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._heard = b""

    def ask(self, text: str, seconds: float = 1) -> bool:
        """Whether the text comes back in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n".encode())
        self._process.stdin.flush()
        deadline = time.monotonic() + seconds
        while text.encode() not in self._heard and (left := deadline - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left)[0]:
                more = os.read(self._process.stdout.fileno(), 4096)
                if not more:
                    return False
                self._heard += more
        return text.encode() in self._heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def sctp_echo(namespace: str, text: str) -> str:
    """What an SCTP client gets back from the VIP within a moment."""
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, "stdbuf", "-oL", SCTP / "client", VIP, "7777"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        try:
            client.stdin.write(f"{text}\n")
            client.stdin.flush()
            time.sleep(1)  # the program says nothing about when it is done
        finally:
            client.kill()
        return client.stdout.read() if client.stdout else ""
