"""As much of HTTP/2 as a load needs: one GET after another on a connection (RFC 9113, RFC 7541).

Frames are read as they come, as browsers do, so that a connection that the server is about to end is known
before the next request goes out. One that was under way then and that the server has not begun may be sent
again on another connection (RFC 9113, section 6.8).
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 0x1
_PADDED, _PRIORITY = 0x8, 0x20
_WHOLE_REQUEST = 0x5  # END_STREAM and END_HEADERS
_GET = b"\x82\x84\x87\x01\x05bench"  # GET, /, https and the authority, by HPACK's static table
_STATUS_200 = 0x88


class NotBegunError(Exception):
    """The server ends the connection, and has not begun with this request."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


@dataclass
class Http2:
    """A connection. ``goes_on``: whether it takes another request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    goes_on: bool = True
    _stream: int = -1
    _answer: asyncio.Future[int] | None = None
    _status: int = 0
    _reading: asyncio.Task[None] = field(init=False)

    @classmethod
    async def open(cls, address: str, port: int, context: ssl.SSLContext) -> Http2:
        """``context`` offers h2 alone; ConnectionError when it is not agreed on."""
        reader, writer = await asyncio.open_connection(address, port, ssl=context)
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            writer.close()
            raise ConnectionError("no HTTP/2")
        made = cls(reader, writer)
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0))
        made._reading = asyncio.ensure_future(made._read())
        return made

    async def ask(self) -> None:
        """GET /; ConnectionError when it is not answered with 200."""
        self._stream += 2
        self._status = 0
        self._answer = asyncio.get_running_loop().create_future()
        self.writer.write(_frame(_HEADERS, _WHOLE_REQUEST, self._stream, _GET))
        status = await self._answer
        if status != _STATUS_200:
            raise ConnectionError(f"not 200: its headers begin with {status:#x}")

    def close(self) -> None:
        self._reading.cancel()
        self.writer.close()

    async def _read(self) -> None:
        error: Exception = ConnectionError("closed before an answer")
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3]))
                self._take(head[3], head[4], int.from_bytes(head[5:]), payload)
        except asyncio.IncompleteReadError:
            pass
        except OSError as broken:
            error = broken
        self.goes_on = False
        self._fail(error)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self.writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _GOAWAY:
            self.goes_on = False
            if self._stream > int.from_bytes(payload[:4]):
                self._fail(NotBegunError())
        elif kind == _RESET and stream == self._stream:
            self._fail(ConnectionError(f"stream reset: {int.from_bytes(payload)}"))
        elif kind == _HEADERS and stream == self._stream:
            skipped = (1 if flags & _PADDED else 0) + (5 if flags & _PRIORITY else 0)
            block = payload[skipped:].lstrip(bytes(range(0x20, 0x40)))  # sizes of the dynamic table
            self._status = self._status or block[0]
        elif kind == _DATA and payload:
            self.writer.write(_frame(_WINDOW, 0, 0, len(payload).to_bytes(4)))
        if kind in (_HEADERS, _DATA) and stream == self._stream and flags & _END_STREAM:
            with suppress(asyncio.InvalidStateError):
                assert self._answer is not None
                self._answer.set_result(self._status)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
