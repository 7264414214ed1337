"""Mixed load on one load balancer until standard input closes; then one line of JSON about it.

``python -m bench.mixed SPEC``, which is JSON: ``address`` and ``rate`` (requests a second on kept
connections), and the ports of the listeners: ``http``, ``tls``, ``tcp``, ``udp`` (those that are missing have
no load). The line has ``done`` and ``failures`` of each kind of traffic; a failure has the time, what
happened and the member's port, if one had answered on that connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from bench.http2 import Http2, NotBegunError

C = TypeVar("C")

_PATIENCE = 5.0
_KEPT, _WEBSOCKETS, _STREAMS, _FLOWS = 8, 6, 4, 8
_KEPT_TLS, _HTTP2 = 4, 4
_TLS_PAUSE = 0.04  # seconds between the requests of a kept connection over TLS
_SHORT_LIFE = 4.0  # seconds of every other WebSocket, so that each HAProxy process gets some
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass(frozen=True)
class Failure:
    kind: str
    at: float
    what: str
    member: int


class BrokenError(Exception):
    """No answer, or a wrong one."""


@dataclass
class Member:
    """``member``: the port of who answered last."""

    member: int = 0


@dataclass
class Connection(Member):
    """A client's connection."""

    reader: asyncio.StreamReader = field(kw_only=True)
    writer: asyncio.StreamWriter = field(kw_only=True)
    goes_on: bool = True

    async def ask(self, request: bytes, status: bytes = b"200") -> None:
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if head[9:12] != status:
            raise BrokenError(head.partition(b"\r\n")[0].decode())
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        await self.reader.readexactly(int(fields.get(b"content-length", b"0")))
        self.member = int(fields.get(b"x-member", b"0"))
        self.goes_on = fields.get(b"connection") != b"close"

    async def echo(self, text: bytes) -> None:
        self.writer.write(text)
        if await self.reader.readexactly(len(text)) != text:
            raise BrokenError("another echo")

    def close(self) -> None:
        self.writer.close()


@dataclass
class Load:
    address: str
    rate: float
    http: int = 0
    tls: int = 0
    tcp: int = 0
    udp: int = 0
    ended: bool = False
    done: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def loads(self) -> list[Awaitable[None]]:
        made: list[Awaitable[None]] = []
        if self.http:
            pause = _KEPT / self.rate
            made += [self.kept("kept", pause, lambda: self.connect(self.http)) for _ in range(_KEPT)]
            made += [self.websocket(number) for number in range(_WEBSOCKETS)]
            made.append(self.again("new", 0.025, lambda: self.connect(self.http)))
        if self.tls:
            context = _unverified()
            made.append(self.again("tls", 0.04, lambda: self.connect(self.tls, context)))
            over_tls = ("kept tls", _TLS_PAUSE, lambda: self.connect(self.tls, context))
            made += [self.kept(*over_tls) for _ in range(_KEPT_TLS)]
            made += [self.http2(_unverified("h2")) for _ in range(_HTTP2)]
        if self.tcp:
            made += [self.stream() for _ in range(_STREAMS)]
        if self.udp:
            made += [self.flow(number) for number in range(_FLOWS)]
        return made

    async def connect(self, port: int, context: ssl.SSLContext | None = None) -> Connection:
        reader, writer = await asyncio.open_connection(self.address, port, ssl=context)
        return Connection(reader=reader, writer=writer)

    async def attempt(self, kind: str, work: Awaitable[None], connection: Member | None = None) -> bool:
        """Whether it went well; failures are noted."""
        began = time.time()
        try:
            async with asyncio.timeout(_PATIENCE):
                await work
        except (OSError, BrokenError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            if not self.ended:
                member = connection.member if connection else 0
                self.failures.append(Failure(kind, began, repr(error)[:200], member))
            await asyncio.sleep(0.05)
            return False
        self.done[kind] += 1
        return True

    async def opened(self, kind: str, connect: Callable[[], Awaitable[C]]) -> C | None:
        made: list[C] = []

        async def work() -> None:
            made.append(await connect())

        await self.attempt(f"{kind} connect", work())
        return made[0] if made else None

    async def kept(self, kind: str, pause: float, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection: Connection | None = None
        due = time.monotonic()
        while not self.ended:
            if not connection:
                connection = await self.opened(kind, connect)
                continue
            good = await self.attempt(kind, connection.ask(_REQUEST), connection)
            if not good or not connection.goes_on:
                connection.close()
                connection = None
            # Nobody makes up for what could not be sent in time.
            due = max(due + pause, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if connection:
            connection.close()

    async def http2(self, context: ssl.SSLContext) -> None:
        connection: Http2 | None = None

        async def work(connection: Http2) -> None:
            with suppress(NotBegunError):  # sent again on the next connection
                await connection.ask()

        while not self.ended:
            if connection and connection.goes_on:
                await self.attempt("http2", work(connection))
                await asyncio.sleep(_TLS_PAUSE)
                continue
            if connection:
                connection.close()
            connection = await self.opened("http2", lambda: Http2.open(self.address, self.tls, context))
        if connection:
            connection.close()

    async def again(self, kind: str, pause: float, connect: Callable[[], Awaitable[Connection]]) -> None:
        """One request each on a new connection."""

        async def work() -> None:
            connection = await connect()
            try:
                await connection.ask(_REQUEST)
            finally:
                connection.close()

        while not self.ended:
            await self.attempt(kind, work())
            await asyncio.sleep(pause)

    async def websocket(self, number: int) -> None:
        life = _SHORT_LIFE if number % 2 else float("inf")
        while not self.ended:
            connection = await self.opened("websocket", lambda: self.connect(self.http))
            if not connection:
                continue
            until = time.monotonic() + life
            good = await self.attempt("websocket", connection.ask(_UPGRADE, b"101"), connection)
            while good and not self.ended and time.monotonic() < until:
                good = await self.attempt("websocket", connection.echo(b"still there?"), connection)
                await asyncio.sleep(0.1)
            connection.close()

    async def stream(self) -> None:
        """A connection of a TCP listener that stays."""
        while not self.ended:
            connection = await self.opened("tcp", lambda: self.connect(self.tcp))
            while connection and not self.ended:
                if not await self.attempt("tcp", connection.ask(_REQUEST), connection):
                    break
                await asyncio.sleep(0.1)
            if connection:
                connection.close()

    async def flow(self, number: int) -> None:
        loop, answered = asyncio.get_running_loop(), Member()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
            flow.setblocking(False)
            flow.connect((self.address, self.udp))
            while not self.ended:
                text = f"{number} {time.monotonic()}".encode()

                async def work(text: bytes = text) -> None:
                    await loop.sock_sendall(flow, text)
                    answer = b""
                    while answer.rpartition(b" ")[0] != text:
                        answer = await loop.sock_recv(flow, 100)
                    answered.member = int(answer.rpartition(b" ")[2])

                await self.attempt("udp", work(), answered)
                await asyncio.sleep(0.05)


def _unverified(*alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def run(load: Load) -> None:
    loop = asyncio.get_running_loop()
    tasks = [asyncio.ensure_future(one) for one in load.loads()]
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    load.ended = True
    await asyncio.wait(tasks, timeout=_PATIENCE + 1)
    for task in tasks:
        if task.done():
            task.result()


def main() -> None:
    load = Load(**json.loads(sys.argv[1]))
    asyncio.run(run(load))
    print(json.dumps({"done": load.done, "failures": [asdict(one) for one in load.failures]}))


if __name__ == "__main__":
    main()
