"""Who may give orders: the controllers, by the name and the purpose that their certificate has.

That it is of the deployment's CA was checked in the handshake. The CA may be an operator's, with which others
have certificates, too; and OpenSSL takes one that states no purpose for one of every purpose.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

from hydria.wire.boot import CONTROLLER

# DER of the object identifiers 2.5.29.37 (extended key usage) and 1.3.6.1.5.5.7.3.2 (a TLS client).
_EXTENDED_KEY_USAGE = b"\x55\x1d\x25"
_CLIENT = b"\x2b\x06\x01\x05\x05\x07\x03\x02"
_OBJECT, _EXTENSIONS = 0x06, 0xA3


class NotAController(Exception):  # noqa: N818  (a verdict on a client, not a failure of the program)
    """The client shows a certificate of the CA that is not the controllers'; the text says in what."""


def check(channel: ssl.SSLSocket) -> None:
    """Raise NotAController unless the other end of a connection, after the handshake, is a controller."""
    found: Any = channel.getpeercert()  # never None, for the handshake asks for one
    names = [value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"]
    if CONTROLLER not in names:
        raise NotAController(f"the client's certificate is for {names or 'no name'}, not {CONTROLLER}")
    if _CLIENT not in _purposes(channel.getpeercert(binary_form=True) or b""):
        raise NotAController("the client's certificate does not say that it is for TLS clients")


def _purposes(certificate: bytes) -> list[bytes]:
    """The extended key usages of an X.509 certificate (RFC 5280, sections 4.1 and 4.2.1.12), in DER."""
    try:
        ((_, whole),) = _items(certificate)
        signed = next(_items(whole))[1]
        for tag, extensions in _items(signed):
            if tag == _EXTENSIONS:
                for _, extension in _items(next(_items(extensions))[1]):
                    parts = list(_items(extension))  # identifier, perhaps critical, value
                    if parts[0] == (_OBJECT, _EXTENDED_KEY_USAGE):
                        return [purpose for _, purpose in _items(next(_items(parts[-1][1]))[1])]
    except (IndexError, ValueError, StopIteration):
        pass  # what cannot be read states no purpose
    return []


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of one item after the other; IndexError when one is cut off."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            width = size & 0x7F
            size, at = int.from_bytes(der[at : at + width], "big"), at + width
        if at + size > len(der):
            raise IndexError("cut off")
        yield tag, der[at : at + size]
        at += size
