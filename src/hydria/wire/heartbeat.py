"""Heartbeats: what an amphora says about itself, signed, once per interval, to every health manager.

A datagram is ``version (1 byte) | HMAC-SHA256 over what follows (32 bytes) | zlib(JSON)``. Counters are
absolute within an epoch (one life of the agent), so a lost datagram loses nothing; the sequence number makes
a replayed one worthless. A report that is too large for one datagram is split by object: every datagram
stands alone, and says which part of how many it is.

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

VERSION = 1
_SIGNATURE = 32
_LIMIT = 60_000  # bytes of compressed JSON in a UDP datagram
_INFLATED_LIMIT = 4_000_000
_OBJECTS = 1_000  # listeners, pools and members in one part, to begin with


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
    amphora_id = _payload(datagram).get("amphora_id")
    if not isinstance(amphora_id, str):
        raise Rejected("no amphora id")
    return amphora_id


def decode(datagram: bytes, key: str) -> Report:
    """Check the signature, then read; Rejected says why not."""
    body = datagram[1 + _SIGNATURE :]
    expected = hmac.new(bytes.fromhex(key), body, hashlib.sha256).digest()
    if not hmac.compare_digest(datagram[1 : 1 + _SIGNATURE], expected):
        raise Rejected("bad signature")
    fields = _payload(datagram)
    try:
        listeners = {name: ListenerReport(**item) for name, item in fields.pop("listeners").items()}
        return Report(listeners=listeners, **fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise Rejected(f"unexpected content: {error}") from error


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
    body = zlib.compress(json.dumps(dataclasses.asdict(report), separators=(",", ":")).encode())
    return bytes([VERSION]) + hmac.new(bytes.fromhex(key), body, hashlib.sha256).digest() + body


def _payload(datagram: bytes) -> dict[str, Any]:
    if len(datagram) <= 1 + _SIGNATURE or datagram[0] != VERSION:
        raise Rejected("not a heartbeat of a known version")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(datagram[1 + _SIGNATURE :], _INFLATED_LIMIT)
        fields = json.loads(text)
    except (zlib.error, ValueError) as error:
        raise Rejected(f"unreadable: {error}") from error
    if not isinstance(fields, dict):
        raise Rejected("not an object")
    return fields
