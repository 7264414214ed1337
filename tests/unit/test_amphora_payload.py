"""What the agent takes for a desired state, how it reads HAProxy's words, how much HAProxy may promise."""

import dataclasses
import json

import pytest

from hydria.amphora import payload
from hydria.amphora.faults import Malformed
from hydria.amphora.haproxy import fault
from hydria.amphora.limits import Room, fitted_maxconn, of_frontends, share
from hydria.wire.encoding import encode
from hydria.wire.logs import Syslog
from hydria.wire.state import DesiredState, Heartbeats, Interface, Server

STATE = DesiredState(
    3,
    interfaces=(Interface("02:00:00:00:00:01", 1500, ("192.0.2.5/24",)),),
    haproxy="global\n",
    structure="s",
    servers=(Server("pool:listener", "one", "2001:db8::1", 80, options=("check", "inter", "5s")),),
    nftables="",
    heartbeats=Heartbeats(("192.0.2.9:5555", "[2001:db8::9]:5555"), 0.5),
    logs=Syslog(("192.0.2.9:514", "[2001:db8::9]:514"), protocol="TCP", facility=7, keep=False),
)


def test_good_state() -> None:
    assert payload.decode(encode(STATE)) == STATE


@pytest.mark.parametrize(
    "change",
    [
        {"generation": "3"},
        {"generation": True},
        {"generation": -1},
        {"haproxy": None},
        {"nftables": ["x"]},
        {"structure": 1},
        {"surprise": 1},
        {"servers": 5},
        {"heartbeats": 5},
        {"heartbeats": {"controllers": ["a:1"]}},
        {"heartbeats": {"controllers": ["a:1"], "interval": 0}},
        {"heartbeats": {"controllers": ["a:1"], "interval": "1"}},
        {"heartbeats": {"controllers": ["a:1"], "interval": 1e9}},
        {"heartbeats": {"controllers": ["a"], "interval": 1}},
        {"heartbeats": {"controllers": [5], "interval": 1}},
        {"heartbeats": {"controllers": ["a b:1"], "interval": 1}},
        {"heartbeats": {"controllers": ["a:x"], "interval": 1}},
        {"logs": 5},
        {"logs": {}},
        {"logs": {"targets": []}},
        {"logs": {"targets": ["logs.example.org:514"]}},
        {"logs": {"targets": [5]}},
        {"logs": {"targets": ["192.0.2.9:514"], "protocol": "udp"}},
        {"logs": {"targets": ["192.0.2.9:514"], "facility": 8}},
        {"logs": {"targets": ["192.0.2.9:514"], "queue": 0}},
        {"logs": {"targets": ["192.0.2.9:514"], "keep": 1}},
        {"logs": {"targets": ["192.0.2.9:514"], "surprise": 1}},
        {"interfaces": [{"mac": "x"}]},
    ],
)
def test_state_of_wrong_types(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        payload.decode(json.dumps({**dataclasses.asdict(STATE), **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"pinged": "member"},
        {"pinged": None},
        {"drain": "5"},
        {"drain": -1},
        {"name": ""},
        {"name": "a b"},
        {"name": "a/b"},
        {"backend": "a\nshutdown"},
        {"options": ["check;shutdown"]},
        {"options": ["é"]},
        {"options": ["<<"]},
        {"options": [5]},
        {"address": "example.com"},
        {"address": "1.2.3"},
        {"address": "::1 "},
        {"port": 0},
        {"port": 80.5},
        {"weight": 257},
        {"weight": None},
        {"enabled": 1},
    ],
)
def test_server_that_would_be_more_than_one_token(change: dict[str, object]) -> None:
    fields = dataclasses.asdict(STATE)
    with pytest.raises(Malformed):
        payload.decode(json.dumps({**fields, "servers": [{**fields["servers"][0], **change}]}).encode())


def test_two_servers_of_one_name() -> None:
    with pytest.raises(Malformed, match="same backend and name"):
        payload.decode(encode(dataclasses.replace(STATE, servers=STATE.servers * 2)))


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"[1]", b"{}", b'"generation"'])
def test_no_state_at_all(body: bytes) -> None:
    with pytest.raises(Malformed):
        payload.decode(body)


def test_fault_keeps_the_reasons() -> None:
    said = """[NOTICE]   (12) : haproxy version is 2.6.12
[ALERT]    (12) : config : parsing [haproxy.cfg.new:3] : unknown keyword 'x' in 'global' section
[WARNING]  (12) : config : something else
[ALERT]    (12) : config : Error(s) found in configuration file : haproxy.cfg.new
[ALERT]    (12) : config : Fatal errors found in configuration.
"""
    assert fault(said) == (
        "haproxy: config : parsing [haproxy.cfg.new:3] : unknown keyword 'x' in 'global' section"
    )
    over_lines = """[NOTICE]   (15) : haproxy version is 3.0.11
[ALERT]    (15) : config : parsing [haproxy.cfg:23] : 'bind 10.78.0.10:443' in section 'frontend' :
  'crt-list' : error processing line 1 in file 'web.list' : inconsistencies in 'web.pem'.
  unable to load it.
[WARNING]  (15) : config : something else
  that goes on
[ALERT]    (15) : config : Fatal errors found in configuration.
"""
    assert fault(over_lines) == (
        "haproxy: config : parsing [haproxy.cfg:23] : 'bind 10.78.0.10:443' in section 'frontend' :"
        " 'crt-list' : error processing line 1 in file 'web.list' : inconsistencies in 'web.pem'."
        " unable to load it."
    )
    assert fault("Killed") == "haproxy: Killed"
    assert fault("") == "haproxy: refused without a reason"
    assert len(fault("[ALERT] (1) : " + "x" * 9999)) < 1100


@pytest.mark.parametrize(
    ("config", "open_files", "expected"),
    [
        ("global\n  maxconn 50000\n", 1_048_576, (50_000, 50_000)),
        ("global\n  maxconn 50000\n", 20_000, (50_000, 9_850)),
        ("global\n  maxconn 100\n", 20_000, (100, 100)),
        ("global\n  maxconn 50000\n  maxpipes 100\nfrontend f\n  bind :80\n", 20_000, (50_000, 9_749)),
        ("defaults\n  maxconn 7\nfrontend f\n  maxconn 8\n", 20_000, (0, 9_850)),
        ("", 1_048_576, (0, 50_000)),
        ("global\n  maxconn 50000\n", 100, (50_000, 10)),
    ],
)
def test_maxconn_fits_the_open_files(config: str, open_files: int, expected: tuple[int, int]) -> None:
    found = fitted_maxconn(config, Room(open_files, 2**40))
    assert (found.wanted, found.fitted) == expected
    assert ("open files" in found.why) == (found.fitted < (found.wanted or 50_000))


@pytest.mark.parametrize(
    ("megabytes", "expected", "why"),
    [
        (256, 4_915, "192 MiB of memory hold no more"),
        (4_096, 50_000, ""),
        (64, 1_228, "48 MiB of memory hold no more"),
    ],
)
def test_maxconn_fits_the_memory(megabytes: int, expected: int, why: str) -> None:
    found = fitted_maxconn("global\n  maxconn 50000\n", Room(1_048_576, share(megabytes)))
    assert (found.fitted, found.why) == (expected, why)


def test_the_limits_of_frontends_are_found():
    config = (
        "global\n    maxconn 9\nfrontend a\n    bind :1\n    maxconn 5\nfrontend b\n    mode tcp\n"
        "backend a:b\n    maxconn 3\n    server x 192.0.2.1:80 maxconn 4\nfrontend c\n    maxconn 6\n"
    )
    assert of_frontends(config) == {"a": 5, "c": 6}
    assert of_frontends("") == {}
