"""What goes over the wire comes out as it went in, or is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hydria.wire import heartbeat, state
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
    assert state.decode_state(state.encode(desired)) == desired
    applied = state.Applied(4, reloaded=True, fault="")
    assert state.decode_applied(state.encode(applied)) == applied


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
