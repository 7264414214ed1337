"""Reading a desired state that a controller has put: nothing of the wrong type, no token that is two.

The controller has rendered it with care and is authenticated; this makes sure that a bug over there ends in
an answer 400, not in a command on HAProxy's socket that nobody meant.
"""

from __future__ import annotations

import re
import socket

from hydria.amphora.faults import Malformed
from hydria.wire import state as wire
from hydria.wire.state import DesiredState, File, Heartbeats, Interface, Server

_GENERATIONS = 2**63
_DAY = 86_400
_PORT = re.compile(r"[0-9]{1,5}")
# Printable, and without what separates, quotes or escapes on HAProxy's command line.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}\.(pem|ca|crl|list)")
_TOKEN = re.compile(r"""[^\x00-\x20\x7f-\uffff;\\"'#<]+""")


def decode(body: bytes) -> DesiredState:
    """The desired state in a request's body; Malformed says what is wrong with it."""
    try:
        state = wire.decode_state(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"not a desired state: {error!r}") from error
    _expect(_whole(state.generation, 0, _GENERATIONS), "generation", state.generation)
    for name in ("haproxy", "structure", "nftables"):
        _expect(isinstance(getattr(state, name), str), name, getattr(state, name))
    if state.heartbeats is not None:
        _heartbeats(state.heartbeats)
    for interface in state.interfaces:
        _interface(interface)
    for server in state.servers:
        _server(server)
    for file in state.files:
        _file(file)
    keys = [(server.backend, server.name) for server in state.servers]
    if len(keys) != len(set(keys)):
        raise Malformed("servers: two have the same backend and name")
    return state


def _file(file: File) -> None:
    """The content is for HAProxy to judge; an empty line would end it on the runtime API."""
    _expect(isinstance(file.name, str) and bool(_FILE_NAME.fullmatch(file.name)), "file name", file.name)
    text = isinstance(file.content, str) and file.content.isascii() and "\n\n" not in file.content
    _expect(text, "content of file", file.name)


def _heartbeats(told: Heartbeats) -> None:
    _expect(type(told.interval) in (int, float) and 0 < told.interval <= _DAY, "interval", told.interval)
    for controller in told.controllers:
        host, _, port = str(controller).rpartition(":")
        valid = isinstance(controller, str) and _TOKEN.fullmatch(host) and _PORT.fullmatch(port)
        _expect(bool(valid), "controller", controller)


def _interface(interface: Interface) -> None:
    """Types only: the root part looks at the values."""
    _expect(type(interface.mtu) is int, "mtu", interface.mtu)
    texts = (interface.mac, interface.gateway4, interface.gateway6, *interface.addresses, *interface.vips)
    _expect(all(isinstance(text, str) for text in texts), "interface", interface)


def _server(server: Server) -> None:
    for token in (server.backend, server.name, *server.options):
        _expect(isinstance(token, str) and _TOKEN.fullmatch(token) is not None, "server token", token)
    _expect("/" not in server.backend + server.name, "server name", f"{server.backend}/{server.name}")
    _expect(_address(server.address), "server address", server.address)
    _expect(_whole(server.port, 1, 65535), "server port", server.port)
    _expect(_whole(server.weight, 0, 256), "server weight", server.weight)
    _expect(isinstance(server.enabled, bool), "server enabled", server.enabled)


def _address(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _expect(holds: bool, name: str, value: object) -> None:
    if not holds:
        raise Malformed(f"{name}: unexpected value {str(value)[:200]!r}")
