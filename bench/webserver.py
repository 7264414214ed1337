"""A member: answers every request with its name. ``python -m bench.webserver ADDRESS PORT NAME``"""

from __future__ import annotations

import asyncio
import sys


class Answer(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, just as much of it as GET needs."""

    text = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while b"\r\n\r\n" in self._waiting:
            _, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
            self._transport.write(self.text)  # type: ignore[attr-defined]


async def serve(address: str, ports: list[int], name: str) -> None:
    Answer.text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode()
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Answer, address, port, backlog=4096) for port in ports]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    first, _, last = sys.argv[2].partition("-")
    asyncio.run(serve(sys.argv[1], list(range(int(first), int(last or first) + 1)), sys.argv[3]))
