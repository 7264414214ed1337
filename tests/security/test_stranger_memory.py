"""Clients that make HAProxy keep as much as they can: the amphora's memory is the bound, and it goes on."""

import contextlib
import dataclasses
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.wire.boot import Boot
from tests.node import agent_lab
from tests.node.agent_lab import VIP, Lab, eventually
from tests.node.test_agent_failures import restarted

pytestmark = pytest.mark.node

_MEGABYTES = 32
_SHARE = 24 * 1024 * 1024
# Waits for bodies that never come to their end, and keeps what has come of them.
FRONT = f"frontend waits\n    bind {VIP}:81\n    http-request wait-for-body time 50s\n    http-request return status 200"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _DATA, _SETTINGS, _END_HEADERS = 1, 0, 4, 4
_POST = b"\x83\x84\x86\x41\x01a"  # HPACK's static table: POST, /, http, and the host "a"


@pytest.fixture
def small(lab: Lab) -> Iterator[Lab]:
    """The amphora with little memory, as the compute driver says."""
    agent_lab.end(lab.process)
    boot = dataclasses.replace(Boot.read(lab.directory), memory_mb=_MEGABYTES)
    boot.write(lab.directory)
    with restarted(lab):
        yield lab


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def unfinished(requests: int, size: int) -> bytes:
    """As many requests on one connection, each with so much of a body that does not end."""
    streams = range(1, 2 * requests, 2)
    heads = b"".join(frame(_HEADERS, _END_HEADERS, stream, _POST) for stream in streams)
    bodies = b"".join(frame(_DATA, 0, stream, b"x" * size) for stream in streams)
    return _PREFACE + frame(_SETTINGS, 0, 0, b"") + heads + bodies


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_connections_have_their_share_of_the_memory(small: Lab) -> None:
    small.apply(agent_lab.state(1))
    assert "maxconn 50000 lowered to 614: 24 MiB of memory hold no more" in small.log
    assert "Maxconn: 614" in small.haproxy("show info")


def test_requests_of_few_connections_take_no_more_than_there_is(small: Lab) -> None:
    """A hundred connections of HTTP/2 with 90 requests each; a buffer for each of them would be 140 MiB."""
    small.apply(agent_lab.state(1, extra=FRONT))
    (pid,) = small.haproxy_pids()
    before = resident(pid)

    def flood() -> int:
        most = 0
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                client = stack.enter_context(socket.create_connection((VIP, 81), 5))
                client.settimeout(0.2)
                with contextlib.suppress(OSError):
                    client.sendall(unfinished(90, 8_000))
                most = max(most, resident(pid))
        return most

    most = small.outside.run(flood)
    assert most < before + _SHARE + 2 * 1024 * 1024
    assert most > before + _SHARE // 2, "nothing came near the bound"
    assert small.haproxy_pids() == {pid}
    eventually(lambda: small.get() == "503")  # there is no member; a process that lacks memory closes
