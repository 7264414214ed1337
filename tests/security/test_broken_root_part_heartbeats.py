"""An amphora that was broken into signs what it likes: it must not keep the health manager busy."""

from __future__ import annotations

import hashlib
import hmac
import zlib

import pytest

from hydria.wire import heartbeat
from hydria.wire.heartbeat import ListenerReport, Rejected, Report

KEY = heartbeat.derive_key("secret", "a1")


def signed(text: bytes) -> bytes:
    head, body = bytes([heartbeat.VERSION, 2]) + b"a1", zlib.compress(text, 9)
    return head + hmac.new(bytes.fromhex(KEY), head + body, hashlib.sha256).digest() + body


@pytest.mark.parametrize(
    "text",
    [
        b'{"members":[' + b",".join([b"{}"] * 150_000) + b"]}",
        b'{"members":{' + b",".join(b'"%d":{}' % number for number in range(40_000)) + b"}}",
        b'{"members":{' + b",".join(b'"%d":""' % number for number in range(40_000)) + b"}}",
        b'{"members":' + b"[" * 400_000,
    ],
    ids=["in a list", "in a map", "texts", "nested"],
)
def test_too_many_objects_are_not_even_read(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unread:
        def decode(self, text: str) -> None:
            raise AssertionError(f"{len(text)} characters were read")

    monkeypatch.setattr(heartbeat, "_JSON", Unread())
    with pytest.raises(Rejected, match="more objects than a part can have"):
        heartbeat.decode(signed(text), KEY)


def test_the_digits_of_no_number_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Rejected, match="too large"):
        heartbeat.decode(signed(b'{"epoch":' + b"9" * 4000 + b"}"), KEY)


def test_what_is_longer_than_any_report_is_not_inflated() -> None:
    with pytest.raises(Rejected, match="too large"):
        heartbeat.decode(signed(b'{"a":"' + b"x" * 600_000 + b'"}'), KEY)


def test_the_largest_part_that_agents_send_is_believed() -> None:
    most = 2**53 - 1
    counters = ListenerReport("x" * 64, most, most, most, most, most)
    report = Report(
        "a1", most, most, most, haproxy=False, listeners={f"{number:064}": counters for number in range(1000)}
    )
    (part,) = heartbeat.encode(report, KEY)
    assert heartbeat.decode(part, KEY) == report
