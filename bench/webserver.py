"""A member: answers every request with its name. ``python -m bench.webserver ADDRESS PORT NAME``

After ``Upgrade: websocket`` it sends back whatever comes, as it does with datagrams. Other answers tell the
port, by which a member is known.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

# To the one key that bench.mixed sends (RFC 6455, section 1.3).
_SWITCHED = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)


class Answer(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, just as much of it as GET and an upgrade need."""

    def __init__(self, port: int, name: str) -> None:
        self._member = f"X-Member: {port}\r\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n{self._member}\r\n"
        self._text = f"{head}{name}".encode()
        self._waiting = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self._transport.write(data)
            return
        self._waiting += data
        while b"\r\n\r\n" in self._waiting:
            head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                self._upgraded = True
                self._transport.write(f"{_SWITCHED}{self._member}\r\n".encode())
            else:
                self._transport.write(self._text)


class Echo(asyncio.DatagramProtocol):
    def __init__(self, port: int) -> None:
        self._port = b" %d" % port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data + self._port, address)


async def serve(address: str, ports: list[int], name: str) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda port=port: Answer(port, name), address, port, backlog=4096)
        await loop.create_datagram_endpoint(lambda port=port: Echo(port), (address, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    first, _, last = sys.argv[2].partition("-")
    asyncio.run(serve(sys.argv[1], list(range(int(first), int(last or first) + 1)), sys.argv[3]))
