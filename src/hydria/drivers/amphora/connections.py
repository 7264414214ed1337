"""Connections to amphora agents: one kept per amphora, between requests."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.model.amphora import Amphora
from hydria.model.errors import DriverError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LONGEST_ANSWER = 4 * 1024 * 1024  # bytes; what agents say is a hundredth of it
_MOST = 256  # kept connections; the one that was idle for longest goes first


class Gone(Exception):  # noqa: N818  (a fact about a connection, which callers expect)
    """The other end closed the connection, or answered what is not HTTP."""


class _Timed:
    """A socket for http.client, whose deadline is for all that is sent and received, however it drips."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def sendall(self, data: bytes) -> None:
        self._patience()
        self._connection.sendall(data)

    def receive_into(self, buffer: WriteableBuffer) -> int:
        self._patience()
        return self._connection.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        self._connection.close()

    def _patience(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(left)


class _Received(io.RawIOBase):
    """One answer, after which the connection stays open."""

    def __init__(self, connection: _Timed) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._connection.receive_into(buffer)


class Connection:
    """One TLS connection to an agent."""

    def __init__(
        self,
        amphora_id: str,
        address: tuple[str, int],
        context: ssl.SSLContext,
        *,
        connect: float,
        handshake: float,
        silence: float,
    ) -> None:
        self.amphora_id = amphora_id
        self.address = address
        plain = socket.create_connection(address, connect)
        try:
            plain.settimeout(handshake)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _notice_death(plain, silence)
            self._timed = _Timed(context.wrap_socket(plain, server_hostname=amphora_id))
        except BaseException:
            plain.close()
            raise
        self._http = http.client.HTTPConnection(*address)
        self._http.sock = self._timed
        self._http.auto_open = 0

    def ask(self, method: str, path: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        """One request; status and body of the answer. Raises Gone, or OSError on a time-out.

        timeout: seconds, for the whole of it. The connection is closed after an error, and when the agent
        says that it will close it.
        """
        self._timed.deadline = time.monotonic() + timeout
        try:
            self._http.request(method, path, body or None, {"Content-Type": "application/json"})
            answer = self._http.getresponse()
            said = answer.read(_LONGEST_ANSWER)
            longer = not answer.isclosed() and bool(answer.read(1))
        except TimeoutError:
            self.close()
            raise
        except (http.client.HTTPException, OSError) as error:
            self.close()
            raise Gone(str(error) or "the connection was closed") from error
        if longer:
            self.close()
            raise Gone(f"its answer is longer than {_LONGEST_ANSWER} bytes")
        return answer.status, said

    @property
    def open(self) -> bool:
        """Whether another request may be sent."""
        return self._http.sock is not None

    def close(self) -> None:
        """Close it."""
        self._http.close()


def _context(ca: Path, certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(ca)
        try:
            context.load_cert_chain(certificate)
        except ssl.SSLError:  # renewed by another program between its certificate and its key
            context.load_cert_chain(certificate)
    except OSError as error:
        raise DriverError(f"Cannot use {ca} and {certificate} to talk to amphorae: {error}.") from error
    return context


def _notice_death(plain: socket.socket, seconds: float) -> None:
    """Have the kernel end the connection when the other host does not even acknowledge.

    An agent may take its time to answer; a host that is gone shall not cost as much.
    """
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(seconds / 2)))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)


class Connections:
    """Makes connections, and keeps one per amphora. Whoever has taken one has it alone."""

    def __init__(self, authority: CertificateAuthority, port: int, silence: float) -> None:
        self._authority = authority
        self._port = port
        self._silence = silence
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, Connection] = OrderedDict()
        self._context: ssl.SSLContext | None = None
        self._context_of: tuple[object, ...] = ()
        self._pid = os.getpid()

    def open(self, amphora: Amphora, *, connect: float, handshake: float) -> Connection:
        """A new connection. Raises OSError (ssl.SSLError among them).

        connect: seconds for the amphora's kernel to answer. handshake: seconds for its agent to do so.
        """
        return Connection(
            amphora.id,
            self._address(amphora),
            self._tls(),
            connect=connect,
            handshake=handshake,
            silence=self._silence,
        )

    def take(self, amphora: Amphora) -> Connection | None:
        """The kept connection, if there is one to where the amphora is now."""
        with self._guard:
            if self._pid != os.getpid():  # a forked child must not speak on its parent's connections
                self._kept.clear()
                self._pid = os.getpid()
            found = self._kept.pop(amphora.id, None)
        if found is not None and found.address != self._address(amphora):
            found.close()
            return None
        return found

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request, unless it is closed."""
        if not connection.open:
            return
        with self._guard:
            surplus = [self._kept.pop(connection.amphora_id, None)]
            self._kept[connection.amphora_id] = connection
            if len(self._kept) > _MOST:
                surplus.append(self._kept.popitem(last=False)[1])
        for each in surplus:
            if each is not None:
                each.close()

    def _address(self, amphora: Amphora) -> tuple[str, int]:
        return amphora.lb_network_ip or "", self._port

    def _tls(self) -> ssl.SSLContext:
        """The TLS settings, made anew when the certificate was renewed."""
        certificate, ca = self._authority.client_certificate, self._authority.server_ca
        version = (certificate, certificate.stat().st_mtime_ns, ca, ca.stat().st_mtime_ns)
        with self._guard:
            if self._context is None or self._context_of != version:
                self._context, self._context_of = _context(ca, certificate), version
            return self._context
