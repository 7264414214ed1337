"""TLS for the API's own server (docs/adr/0004-tls-in-waitress.md).

waitress reads and writes in one loop that never waits for a client, and neither does this: handshakes happen
as their bytes come in. OpenSSL's objects stand no two threads at a time, and waitress writes from the thread
of a request while its loop may read, so each socket has a lock; nothing waits inside it.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydria.model.errors import Invalid
from hydria.settings import ApiSettings

LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 10.0


class Certificate:
    """The server's certificate; a renewed one is taken up by the connections that come after it."""

    def __init__(self, settings: ApiSettings) -> None:
        self._certificate = Path(settings.tls_certificate_file)
        self._key = Path(settings.tls_key_file or settings.tls_certificate_file)
        self._seen = self._fingerprint()
        self._looked = time.monotonic()
        self._context = self._load()

    def wrap(self, connection: socket.socket) -> _Socket:
        """The server's end of TLS on a connection; nothing was said on it yet."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        if not isinstance(wrapped, _Socket):
            raise TypeError(type(wrapped))
        wrapped.lock = threading.Lock()
        return wrapped

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            found = self._fingerprint()
            if found == self._seen:
                return
            self._context = self._load()
            self._seen = found
        except Invalid as error:  # half of the new pair is there, the rest will follow
            LOG.warning("%s The one before is used on.", error)
            return
        LOG.info("The API has a new certificate, of %s.", self._certificate)

    def _fingerprint(self) -> list[tuple[int, int, int]]:
        try:
            found = [path.stat() for path in (self._certificate, self._key)]
        except OSError as error:
            raise Invalid(f"[api_settings] TLS: {error.filename}: {error.strerror}.") from error
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.sslsocket_class = _Socket
        try:
            # With an empty pass phrase, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (OSError, ValueError) as error:
            raise Invalid(
                f"[api_settings] tls_certificate_file = {self._certificate}, tls_key_file = {self._key}: no"
                f" certificate with its unencrypted private key in PEM ({error})."
            ) from error
        return context


class _Socket(ssl.SSLSocket):
    """One that says EWOULDBLOCK as sockets without TLS do."""

    lock: threading.Lock

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with self.lock:
            try:
                return super().recv(buflen, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise _not_now() from None

    def send(self, data: Any, flags: int = 0) -> int:
        with self.lock:
            try:
                return super().send(data, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise _not_now() from None

    def pending(self) -> int:
        with self.lock:
            return super().pending()

    def close(self) -> None:
        with self.lock, suppress(OSError, ValueError):
            self.unwrap()  # says that this is the end, and waits for no answer
        super().close()


def _not_now() -> BlockingIOError:
    return BlockingIOError(errno.EWOULDBLOCK, "TLS has nothing complete yet")
