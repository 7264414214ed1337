"""Reading a desired state that a controller has put: nothing of the wrong type, no token that is two.

The controller has rendered it with care and is authenticated; this makes sure that a bug over there ends in
an answer 400, not in a command on HAProxy's socket that nobody meant.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from hydria.amphora.faults import Malformed
from hydria.wire import state as wire
from hydria.wire.logs import TCP, UDP, Syslog, endpoint
from hydria.wire.state import DesiredState, File, Heartbeats, Interface, Probe, Server, Service, Target

_GENERATIONS = 2**63
_LONGEST_ID = 64
_ID = re.compile(rf"[0-9A-Za-z-]{{1,{_LONGEST_ID}}}")
_DAY = 86_400
_PORT = re.compile(r"[0-9]{1,5}")
# Printable, and without what separates, quotes or escapes on HAProxy's command line.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}\.(pem|ca|crl|list|acl|map|lua)")
_TOKEN = re.compile(r"""[^\x00-\x20\x7f-\uffff;\\"'#<]+""")


def decode(body: bytes) -> DesiredState:
    """The desired state in a request's body; Malformed says what is wrong with it."""
    try:
        state = wire.decode_state(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"not a desired state: {error!r}") from error
    _expect(_whole(state.generation, 0, _GENERATIONS), "generation", state.generation)
    _expect(_whole(state.term, 0, _GENERATIONS), "term", state.term)
    for name in ("haproxy", "structure", "nftables"):
        _expect(isinstance(getattr(state, name), str), name, getattr(state, name))
    if state.heartbeats is not None:
        _heartbeats(state.heartbeats)
    if state.logs is not None:
        _logs(state.logs)
    for interface in state.interfaces:
        _interface(interface)
    for server in state.servers:
        _server(server)
    for file in state.files:
        _file(file)
    for each in state.services:
        check_service(each)
    keys = [(server.backend, server.name) for server in state.servers]
    if len(keys) != len(set(keys)):
        raise Malformed("servers: two have the same backend and name")
    return state


def _file(file: File) -> None:
    """The content is for HAProxy to judge; an empty line would end it on the runtime API."""
    _expect(isinstance(file.name, str) and bool(_FILE_NAME.fullmatch(file.name)), "file name", file.name)
    if file.content is None:
        return
    text = isinstance(file.content, str) and "\n\n" not in file.content
    # PEM is ASCII, whatever its comments hold; a pattern is what users may write.
    _expect(text and (file.content.isascii() or _printable(file.content)), "content of file", file.name)


def _printable(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def _heartbeats(told: Heartbeats) -> None:
    _expect(type(told.interval) in (int, float) and 0 < told.interval <= _DAY, "interval", told.interval)
    for controller in told.controllers:
        host, _, port = str(controller).rpartition(":")
        valid = isinstance(controller, str) and _TOKEN.fullmatch(host) and _PORT.fullmatch(port)
        _expect(bool(valid), "controller", controller)


def _logs(told: Syslog) -> None:
    try:
        targets = [endpoint(target) for target in told.targets]
    except (ValueError, AttributeError) as error:
        raise Malformed(f"logs: {error}") from error
    _expect(bool(targets), "logs", told.targets)
    _expect(told.protocol in (UDP, TCP), "log protocol", told.protocol)
    _expect(_whole(told.facility, 0, 7), "log facility", told.facility)
    for number in (told.queue, told.retry_interval, told.retry_count):
        _expect(_whole(number, 1, 2**31), "log queue and attempts", number)
    _expect(isinstance(told.keep, bool), "keeping of logs", told.keep)


def decode_services(items: object) -> list[Service]:
    """Services from their JSON; Malformed says what is wrong with it."""
    try:
        services = [wire.service(dict(item)) for item in items]  # type: ignore[attr-defined]  # or it is not one
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"not datagram services: {error!r}") from error
    for each in services:
        check_service(each)
    return services


def check_service(service: Service) -> None:
    """Raise Malformed unless nothing of a service can mean anything to nft but what it says."""
    for identifier in (service.listener, *(target.name for target in service.targets)):
        _expect(isinstance(identifier, str) and bool(_ID.fullmatch(identifier)), "id", identifier)
    _expect(isinstance(service.pool, str) and len(service.pool) <= _LONGEST_ID, "pool", service.pool)
    _expect(service.protocol in ("udp", "sctp"), "protocol", service.protocol)
    _expect(service.balance in ("turn", "least", "source", "flow"), "balance", service.balance)
    _expect(all(_address(vip) for vip in service.vips), "vips", service.vips)
    _expect(all(_network(each) for each in service.allowed), "allowed", service.allowed)
    _expect(_whole(service.port, 1, 65535), "port", service.port)
    _expect(_whole(service.limit, 0, 2**31), "limit", service.limit)
    _expect(_whole(service.sticky, 0, 2**31), "sticky", service.sticky)
    _expect(_whole(service.mask4, 0, 32) and _whole(service.mask6, 0, 128), "mask", service.mask4)
    _expect(type(service.preserve) is bool, "preserve", service.preserve)
    for target in service.targets:
        _target(target)
    if service.probe is not None:
        _probe(service.probe)


def _target(target: Target) -> None:
    _expect(_address(target.address), "target address", target.address)
    _expect(_whole(target.port, 1, 65535), "target port", target.port)
    _expect(_whole(target.weight, 0, 256), "target weight", target.weight)
    flags = type(target.backup) is bool and type(target.enabled) is bool
    _expect(flags, "target backup and enabled", target.name)
    _expect(target.probe_address == "" or _address(target.probe_address), "probe", target.probe_address)
    _expect(_whole(target.probe_port, 0, 65535), "probe port", target.probe_port)


def _probe(probe: Probe) -> None:
    numbers = (probe.delay, probe.timeout, probe.rise, probe.fall, *probe.codes)
    _expect(all(_whole(number, 1, 2**31) for number in numbers), "probe", probe)
    texts = (probe.kind, probe.method, probe.path, probe.version, probe.host)
    _expect(all(isinstance(text, str) and text.isprintable() for text in texts), "probe", probe)


def _network(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


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
    _expect(server.drain is None or _whole(server.drain, 0, _DAY), "server drain", server.drain)
    for address in (server.check_address, server.pinged):
        _expect(address == "" or _address(address), "server checked at", address)
    _expect(_whole(server.check_port, 0, 65535), "server check port", server.check_port)


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
