"""One question to a member: does it serve? Each attempt owns a socket that never blocks."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
from collections.abc import Callable, Mapping

from hydria.wire.state import Probe, Target

_HEAD = 64  # bytes of an HTTP answer that tell its status
_IPPROTO_SCTP = 132


class Unaskable(Exception):  # noqa: N818  (nothing has failed: this kernel cannot ask so)
    """The kernel lacks what such a question takes."""


class Attempt:
    """A question under way. ``events``: what its socket is waited for.

    ``proceed`` is called when it is ready: True or False is the answer, None that more is to come.
    ``silence``: the answer when the time is over and nothing was heard.
    """

    events = selectors.EVENT_WRITE
    silence = False

    def __init__(self, probe: Probe, target: Target) -> None:
        self._probe = probe
        address = target.probe_address or target.address
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = (address, target.probe_port or target.port)
        self.socket = self._open()
        self.socket.setblocking(False)

    def _open(self) -> socket.socket:
        return socket.socket(self.family, socket.SOCK_STREAM)

    def start(self) -> bool | None:
        """Ask; the answer, if it is clear at once."""
        code = self.socket.connect_ex(self.address)
        return None if code in (0, errno.EINPROGRESS) else False

    def proceed(self) -> bool | None:
        """A connection that is made, or not, is the answer."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class _Http(Attempt):
    """The status of an answer is the answer (RFC 9112)."""

    def __init__(self, probe: Probe, target: Target) -> None:
        super().__init__(probe, target)
        self._answer = b""

    def proceed(self) -> bool | None:
        if self.events == selectors.EVENT_WRITE:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return False
            self.socket.sendall(self._request())
            self.events = selectors.EVENT_READ
            return None
        chunk = self.socket.recv(_HEAD)
        self._answer += chunk
        line, ended, _ = self._answer.partition(b"\n")
        if not ended and chunk and len(self._answer) < _HEAD:
            return None
        words = line.split()
        return len(words) > 1 and words[1] in self._good()

    def _request(self) -> bytes:
        version = self._probe.version or "1.0"
        host = f"Host: {self._probe.host}\r\n" if self._probe.version == "1.1" else ""
        text = f"{self._probe.method} {self._probe.path} HTTP/{version}\r\n{host}Connection: close\r\n\r\n"
        return text.encode()

    def _good(self) -> set[bytes]:
        return {b"%d" % code for code in self._probe.codes}


class _Udp(Attempt):
    """Only the word that nobody listens is a refusal: most services do not answer a stranger's datagram."""

    events = selectors.EVENT_READ
    silence = True

    def _open(self) -> socket.socket:
        return socket.socket(self.family, socket.SOCK_DGRAM)

    def start(self) -> bool | None:
        try:
            self.socket.connect(self.address)
            self.socket.send(b"")
        except OSError:
            return False
        return None

    def proceed(self) -> bool | None:
        try:
            self.socket.recv(1)
        except OSError:
            return False
        return True


class _Sctp(Attempt):
    """An association that is made, or not, is the answer."""

    def _open(self) -> socket.socket:
        try:
            return socket.socket(self.family, socket.SOCK_STREAM, _IPPROTO_SCTP)
        except OSError as error:
            raise Unaskable("this kernel has no SCTP sockets: members are not probed") from error


class _Ping(Attempt):
    """An echo (RFC 792, RFC 4443) to the member's address; the kernel fills in identifier and checksum."""

    events = selectors.EVENT_READ

    def _open(self) -> socket.socket:
        protocol = socket.IPPROTO_ICMPV6 if self.family == socket.AF_INET6 else socket.IPPROTO_ICMP
        try:
            return socket.socket(self.family, socket.SOCK_DGRAM, protocol)
        except OSError as error:
            raise Unaskable(
                "this kernel lets no program send echo requests: members are not probed"
            ) from error

    def start(self) -> bool | None:
        kind = 128 if self.family == socket.AF_INET6 else 8
        try:
            self.socket.connect((self.address[0], 0))
            self.socket.send(struct.pack("!BBHHH", kind, 0, 0, 0, 1) + os.urandom(8))
        except OSError:
            return False
        return None

    def proceed(self) -> bool | None:
        try:
            self.socket.recv(64)
        except OSError:
            return False
        return True


_KINDS: Mapping[str, Callable[[Probe, Target], Attempt]] = {
    "TCP": Attempt,
    "HTTP": _Http,
    "UDP-CONNECT": _Udp,
    "SCTP": _Sctp,
    "PING": _Ping,
}


def ask(probe: Probe, target: Target) -> Attempt:
    """An attempt that is still to be started; Unaskable when it cannot be made here."""
    if probe.kind not in _KINDS:
        raise Unaskable(f"probes of kind {probe.kind} are not known: members are not probed")
    return _KINDS[probe.kind](probe, target)
