"""Heartbeats: what an amphora says about itself, signed, once per interval, to every health manager.

A datagram is ``version (1 byte) | length of the id (1 byte) | amphora id | HMAC-SHA256 (32 bytes) |
zlib(JSON)``; the HMAC is over all the rest. The id is in clear so that a datagram can be refused before
anything of it is inflated or parsed: anybody can send one. Counters are absolute within an epoch (one life of
the agent), so a lost datagram loses nothing. Epochs grow, whatever clocks say, and sequence numbers grow
within them; what was recorded last stands in the database, so that a replayed one is worthless to every
health manager, also after a restart. A report that is too large for one datagram is split by object: every
datagram stands alone, and says which part of how many it is.

Each amphora has a key of its own, derived from the deployment's ``heartbeat_key``, so that one leaked key
speaks for one amphora.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hydria.wire import encoding

VERSION = 1
_SIGNATURE = 32
_LIMIT = 60_000  # bytes of compressed JSON in a UDP datagram
_OBJECTS = 1_000  # listeners, pools and members in one part, at most
_INFLATED_LIMIT = 500 * _OBJECTS  # bytes; the longest that is said of one are some 300
# In the JSON of a part: a brace per listener, and some around them; a comma per counter, or per member.
_BRACES, _COMMAS = _OBJECTS + 10, 10 * _OBJECTS
_PARTS = 256
_NAME = 64  # characters of an id or a status
_NUMBER = 2**53  # exact in any JSON, and far from the end of a database's integers
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ListenerReport:
    """One listener. status is HAProxy's: OPEN or FULL. Counters are absolute within the epoch; bytes."""

    status: str
    bytes_in: int = 0
    bytes_out: int = 0
    active_connections: int = 0
    total_connections: int = 0
    request_errors: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One heartbeat.

    pools: pool id -> UP or DOWN. members: member id -> UP, DOWN, DRAIN, MAINT or NO_CHECK.
    generation: the applied one. haproxy: whether it runs (or has nothing to do).
    """

    amphora_id: str
    epoch: int
    sequence: int
    generation: int
    haproxy: bool
    listeners: dict[str, ListenerReport] = field(default_factory=dict)
    pools: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    part: int = 1
    parts: int = 1


class Rejected(Exception):  # noqa: N818  (a verdict on a datagram, not a failure of the program)
    """A datagram that is not to be believed; the text says why."""


def derive_key(master: str, amphora_id: str) -> str:
    """The hex key of one amphora, from the deployment's secret."""
    return hmac.new(master.encode(), b"hydria-heartbeat:" + amphora_id.encode(), hashlib.sha256).hexdigest()


def encode(report: Report, key: str) -> list[bytes]:
    """The report as signed datagrams, each small enough for UDP."""
    size = _OBJECTS
    while True:
        datagrams = [_datagram(part, key) for part in _split(report, size)]
        if size == 1 or all(len(datagram) <= _LIMIT for datagram in datagrams):
            return datagrams
        size = max(1, size // 2)


def amphora_of(datagram: bytes) -> str:
    """Whose datagram it claims to be, to find the key; believe nothing else before :func:`decode`."""
    return _opened(datagram)[0]


def decode(datagram: bytes, key: str) -> Report:
    """Check the signature, then read; Rejected says why not.

    An amphora that was broken into has a key, too, so values are held to their types and bounds: what one
    says must not keep what others say from being recorded.
    """
    amphora_id, signature, body = _opened(datagram)
    if not hmac.compare_digest(signature, _sign(amphora_id.encode(), body, key)):
        raise Rejected("bad signature")
    fields = _payload(body)
    try:
        listeners = {name: ListenerReport(**item) for name, item in fields.pop("listeners").items()}
        report = Report(listeners=listeners, **fields)
        if report.amphora_id != amphora_id:
            raise Rejected(f"signed by amphora {amphora_id} for another one")
        _check(report)
    except (TypeError, KeyError, AttributeError) as error:
        raise Rejected(f"unexpected content: {error}") from error
    return report


def _opened(datagram: bytes) -> tuple[str, bytes, bytes]:
    """Amphora id, signature and body of a datagram, none of them checked."""
    if len(datagram) < 2 or datagram[0] != VERSION:
        raise Rejected("not a heartbeat of a known version")
    start = 2 + datagram[1]
    try:
        amphora_id = datagram[2:start].decode("ascii")
    except UnicodeDecodeError:
        amphora_id = ""
    complete = len(datagram) > start + _SIGNATURE
    if not (complete and 0 < len(amphora_id) <= _NAME and amphora_id.isprintable()):
        raise Rejected("no amphora id")
    return amphora_id, datagram[start : start + _SIGNATURE], datagram[start + _SIGNATURE :]


def _sign(amphora_id: bytes, body: bytes, key: str) -> bytes:
    head = bytes([VERSION, len(amphora_id)]) + amphora_id
    return hmac.digest(bytes.fromhex(key), head + body, "sha256")


def _check(report: Report) -> None:
    """Raise Rejected for what no agent sends."""
    numbers: list[Any] = [report.epoch, report.sequence, report.generation, report.part, report.parts]
    texts: list[Any] = [*report.pools, *report.pools.values(), *report.members, *report.members.values()]
    for name, item in report.listeners.items():
        texts += [name, item.status]
        numbers += [item.bytes_in, item.bytes_out, item.active_connections]
        numbers += [item.total_connections, item.request_errors]
    # All at once: a loop in Python over each value would take longer than everything else here.
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) >= _NUMBER:
        raise Rejected("a number that is none, or too large")
    if not set(map(type, texts)) <= {str} or max(map(len, texts), default=0) > _NAME:
        raise Rejected("an id or a status that is none")
    if not "".join(texts).isascii():
        raise Rejected("an id or a status with other characters than ASCII has")
    if not isinstance(report.haproxy, bool) or not 1 <= report.part <= report.parts <= _PARTS:
        raise Rejected("unexpected parts")
    if len(report.listeners) + len(report.pools) + len(report.members) > _OBJECTS:
        raise Rejected("more objects than a part can have")


def _split(report: Report, size: int) -> Iterator[Report]:
    objects: list[tuple[str, str, ListenerReport | str]] = []
    objects += [("listeners", *item) for item in report.listeners.items()]
    objects += [("pools", *item) for item in report.pools.items()]
    objects += [("members", *item) for item in report.members.items()]
    chunks = [objects[start : start + size] for start in range(0, len(objects), size)] or [[]]
    for number, chunk in enumerate(chunks, start=1):
        groups: dict[str, dict[str, Any]] = {"listeners": {}, "pools": {}, "members": {}}
        for group, name, item in chunk:
            groups[group][name] = item
        yield dataclasses.replace(
            report,
            part=number,
            parts=len(chunks),
            listeners=groups["listeners"],
            pools=groups["pools"],
            members=groups["members"],
        )


def _datagram(report: Report, key: str) -> bytes:
    body = zlib.compress(encoding.encode(report))
    amphora_id = report.amphora_id.encode()
    return bytes([VERSION, len(amphora_id)]) + amphora_id + _sign(amphora_id, body, key) + body


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:  # which take long to read, and are refused anyway
        raise ValueError("a number that is too large")
    return int(digits)


_JSON = json.JSONDecoder(parse_int=_whole)


def _payload(body: bytes) -> dict[str, Any]:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(body, _INFLATED_LIMIT)
        # Counted first: what an amphora says that was broken into must not take long to read.
        if text.count(b"{") > _BRACES or text.count(b",") > _COMMAS or b"[" in text:
            raise Rejected("more objects than a part can have")
        fields = _JSON.decode(text.decode()) if inflate.eof else None
    except (zlib.error, ValueError, RecursionError) as error:
        raise Rejected(f"unreadable: {error}") from error
    if not isinstance(fields, dict):
        raise Rejected("not an object, or too large a one")
    return fields
