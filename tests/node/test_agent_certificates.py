"""Certificates in an amphora: taken up live, kept off the disk, and never half there."""

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.wire.state import DesiredState, File
from tests import certificates
from tests.node import agent_lab
from tests.node.agent_lab import VIP, Lab, eventually, server, state

pytestmark = pytest.mark.node

HOST = "www.example.org"
CA = certificates.make("Test CA", ca=True)
LIST = File("list0.list", "tls/web.pem\n")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        yield running


def encrypted(generation: int, made: certificates.Made, **changes: object) -> DesiredState:
    """A state that also serves HTTPS on port 443."""
    front = (
        f"frontend tls\n    bind {VIP}:443 ssl crt-list tls/list0.list\n    http-request return status 200"
    )
    more = {"extra": front, "files": (File("web.pem", made.bundle), LIST), **changes}
    return state(generation, server(8001), **more)


def served(lab: Lab) -> int:
    """The serial number of the certificate that clients are shown."""

    def handshake() -> int:
        context = ssl.create_default_context(cadata=CA.pem)
        with (
            socket.create_connection((VIP, 443), 5) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as connection,
        ):
            certificate = connection.getpeercert()
            assert certificate is not None
            return int(str(certificate["serialNumber"]), 16)

    return lab.outside.run(handshake)


def _serves(lab: Lab) -> bool:
    try:
        return served(lab) > 0
    except OSError:
        return False


def test_a_renewed_certificate_needs_no_reload(lab: Lab) -> None:
    first, second = (certificates.make(HOST, CA) for _ in range(2))
    assert lab.apply(encrypted(1, first)).reloaded
    assert served(lab) == first.certificate.serial_number
    pids = lab.haproxy_pids()
    assert not lab.apply(encrypted(2, second)).reloaded, lab.log
    assert served(lab) == second.certificate.serial_number
    assert lab.haproxy_pids() == pids
    # What HAProxy has to start from is the renewed one, too.
    assert lab.apply(encrypted(3, second, timeout="31s")).reloaded
    assert served(lab) == second.certificate.serial_number


def test_a_bad_certificate_is_refused_and_the_old_one_serves_on(lab: Lab) -> None:
    good = certificates.make(HOST, CA)
    lab.apply(encrypted(1, good))
    other = certificates.make(HOST, CA)
    bad = File("web.pem", other.pem + good.key_pem)  # another's key
    status, applied = lab.put(encrypted(2, good, files=(bad, LIST)))
    assert (status, applied.generation) == (422, 1)
    assert "web.pem" in applied.fault
    assert served(lab) == good.certificate.serial_number
    # Nor is it there when HAProxy has to be started again.
    (pid,) = lab.haproxy_pids()

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - {pid})
    eventually(lambda: _serves(lab))
    assert served(lab) == good.certificate.serial_number


def test_keys_are_nowhere_on_the_disk(lab: Lab) -> None:
    made = certificates.make(HOST, CA)
    lab.apply(encrypted(1, made))
    assert served(lab)
    key = made.key_pem.splitlines()[1].encode()
    for path in lab.directory.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert key not in path.read_bytes(), path


def test_an_agent_that_starts_again_has_its_certificates(lab: Lab) -> None:
    made = certificates.make(HOST, CA)
    lab.apply(encrypted(1, made))

    agent = lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: _serves(lab) and agent_lab.answers(lab))
    assert lab.info()["generation"] == 1
    assert served(lab) == made.certificate.serial_number
    assert not lab.apply(encrypted(2, made)).reloaded


@pytest.mark.parametrize("name", ["../x.pem", "a/b.pem", ".pem", "x.txt", "x.pem\n"])
def test_files_stay_where_they_belong(lab: Lab, name: str) -> None:
    made = certificates.make(HOST, CA)
    assert (
        lab.request("PUT", "/v1/state", agent_lab.encode(encrypted(1, made, files=(File(name, "x"),))))[0]
        == 400
    )
    assert lab.info()["generation"] == 0


def test_files_that_nobody_needs_any_more_are_removed(lab: Lab) -> None:
    made = certificates.make(HOST, CA)
    lab.apply(encrypted(1, made))
    lab.apply(state(2, server(8001)))
    assert lab.in_amphora("sh", "-c", "ls /proc/1/root/dev/shm/tls 2>/dev/null | wc -l").strip() == "0"
