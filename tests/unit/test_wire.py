"""What goes over the wire comes out as it went in, or is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import tracemalloc
import zlib
from pathlib import Path

import pytest

from hydria.wire import encoding, heartbeat, state
from hydria.wire.boot import Boot
from hydria.wire.heartbeat import ListenerReport, Rejected, Report

KEY = heartbeat.derive_key("secret", "a1")
REPORT = Report(
    amphora_id="a1",
    epoch=7,
    sequence=3,
    generation=5,
    haproxy=True,
    listeners={"l1": ListenerReport("OPEN", 1, 2, 3, 4, 5)},
    pools={"p1": "UP"},
    members={"m1": "NO_CHECK"},
)


def test_report_round_trip() -> None:
    (datagram,) = heartbeat.encode(REPORT, KEY)
    assert heartbeat.amphora_of(datagram) == "a1"
    assert heartbeat.decode(datagram, KEY) == REPORT


def test_every_amphora_has_a_key_of_its_own() -> None:
    (datagram,) = heartbeat.encode(REPORT, KEY)
    with pytest.raises(Rejected, match="bad signature"):
        heartbeat.decode(datagram, heartbeat.derive_key("secret", "a2"))
    assert heartbeat.derive_key("secret", "a1") == KEY != heartbeat.derive_key("other", "a1")


@pytest.mark.parametrize("position", [0, 1, 20, 33, 40, -1])
def test_a_changed_byte_is_refused(position: int) -> None:
    datagram = bytearray(heartbeat.encode(REPORT, KEY)[0])
    datagram[position] ^= 1
    with pytest.raises(Rejected):
        heartbeat.decode(bytes(datagram), KEY)


@pytest.mark.parametrize("datagram", [b"", b"\x01", b"\x02" * 100, b"\x01" * 33, b"\x01" * 200])
def test_nonsense_is_refused(datagram: bytes) -> None:
    with pytest.raises(Rejected):
        heartbeat.amphora_of(datagram)
    with pytest.raises(Rejected):
        heartbeat.decode(datagram, KEY)


def test_a_large_report_is_split_into_parts_that_stand_alone() -> None:
    members = {f"member-{number:032x}-{number * 7919:x}": "UP" for number in range(5000)}
    report = dataclasses.replace(REPORT, members=members)
    datagrams = heartbeat.encode(report, KEY)
    parts = [heartbeat.decode(datagram, KEY) for datagram in datagrams]
    assert len(parts) > 1
    assert all(len(datagram) < 65_000 for datagram in datagrams)
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert {name for part in parts for name in part.members} == set(members)
    assert {part.generation for part in parts} == {5}


def signed(text: bytes, name: bytes = b"a1") -> bytes:
    """A datagram of a broken amphora: signed with its own key, saying whatever it likes."""
    head, body = bytes([heartbeat.VERSION, len(name)]) + name, zlib.compress(text)
    key = bytes.fromhex(heartbeat.derive_key("secret", name.decode()))
    return head + hmac.new(key, head + body, hashlib.sha256).digest() + body


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "x"},
        {"epoch": -1},
        {"sequence": 2**53},
        {"sequence": 1.5},
        {"generation": None},
        {"generation": True},
        {"haproxy": 1},
        {"part": 0},
        {"part": 2},
        {"part": 300, "parts": 300},
        {"amphora_id": "a2"},
        {"members": {"m": 5}},
        {"members": {"m" * 65: "UP"}},
        {"members": {"m": "\ud800"}},
        {"members": ["m"]},
        {"pools": {"p": "x" * 65}},
        {"members": {f"m{number}": "UP" for number in range(1001)}},
        {"listeners": {"l": {"status": "OPEN", "bytes_in": 10**30}}},
        {"listeners": {"l": {"status": "OPEN", "bytes_in": float("nan")}}},
        {"listeners": {"l": {"status": "OPEN", "more": 1}}},
        {"listeners": {"l": {}}},
        {"listeners": {"l": 5}},
        {"listeners": []},
        {"more": 1},
    ],
)
def test_an_amphora_that_was_broken_into_is_held_to_types_and_bounds(changes: dict[str, object]) -> None:
    fields = dataclasses.asdict(REPORT)
    assert heartbeat.decode(signed(json.dumps(fields).encode()), KEY) == REPORT
    with pytest.raises(Rejected):
        heartbeat.decode(signed(json.dumps({**fields, **changes}).encode()), KEY)


@pytest.mark.parametrize(
    "text",
    [b"[" * 200_000, b'{"a":' * 150_000, b"9" * 5000, b"\xff", b"", b"{}", b" " * 50_000_000],
    ids=["deep", "deep objects", "long number", "no UTF-8", "nothing", "empty", "bomb"],
)
def test_no_text_breaks_or_fills_the_reader(text: bytes) -> None:
    tracemalloc.start()
    try:
        datagram = signed(text)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(Rejected):
            heartbeat.decode(datagram, KEY)
        assert tracemalloc.get_traced_memory()[1] - before < 40_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_inflated_before_the_signature_is_checked() -> None:
    bomb = bytearray(signed(b" " * 50_000_000))
    bomb[10] ^= 1
    with pytest.raises(Rejected, match="bad signature"):
        heartbeat.decode(bytes(bomb), KEY)


@pytest.mark.parametrize("name", [b"", b"x" * 65, b"\xed\xa0\x80", b"a\n1", b"\x00"])
def test_an_id_that_is_none_never_becomes_a_key(name: bytes) -> None:
    with pytest.raises(Rejected, match="no amphora id"):
        heartbeat.amphora_of(bytes([heartbeat.VERSION, len(name)]) + name + b"x" * 100)


def test_desired_state_round_trip() -> None:
    desired = state.DesiredState(
        generation=4,
        interfaces=(
            state.Interface("02:00:00:00:00:01", 1500, ("10.0.0.2/24",), ("10.0.0.9/32",), "10.0.0.1"),
        ),
        haproxy="global\n",
        structure="abc",
        servers=(state.Server("p:l", "m", "::1", 80, 3, enabled=False, options=("check", "inter", "5s")),),
        nftables="table inet hydria {}",
    )
    assert state.decode_state(encoding.encode(desired)) == desired
    applied = state.Applied(4, reloaded=True, fault="")
    assert state.decode_applied(encoding.encode(applied)) == applied


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"generation": 1}', b'{"servers": [], "interfaces": [1]}']
)
def test_a_malformed_state_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        state.decode_state(body)


def test_boot_round_trip_keeps_its_key_to_its_owner(tmp_path: Path) -> None:
    boot = Boot("a1", "10.0.0.2", "aa" * 32, controllers=("10.0.0.1:5555",), user=640_001)
    boot.write(tmp_path)
    assert Boot.read(tmp_path) == boot
    assert (tmp_path / "boot.json").stat().st_mode & 0o777 == 0o600
    assert "aa" * 32 not in repr(boot)


def test_nothing_but_dataclasses_is_encoded() -> None:
    assert (
        encoding.encode({"a": [state.Applied(4)]}) == b'{"a":[{"generation":4,"reloaded":false,"fault":""}]}'
    )
    with pytest.raises(TypeError, match="set is no dataclass"):
        encoding.encode({"a": {1}})
