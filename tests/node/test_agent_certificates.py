"""Certificates in an amphora: taken up live, kept off the disk, and never half there."""

import dataclasses
import os
import signal
import socket
import ssl

import pytest

from hydria.wire.encoding import encode
from hydria.wire.state import DesiredState, File, Lacking, decode_lacking
from tests import certificates
from tests.node import agent_lab
from tests.node.agent_lab import VIP, Lab, eventually, server, state

pytestmark = pytest.mark.node

HOST = "www.example.org"
CA = certificates.make("Test CA", ca=True)
LIST = File("list0.list", "tls/web.pem\n")


def encrypted(generation: int, made: certificates.Made, **changes: object) -> DesiredState:
    """A state that also serves HTTPS on port 443."""
    front = (
        f"frontend tls\n    bind {VIP}:443 ssl crt-list tls/list0.list\n    http-request return status 200"
    )
    more = {"extra": front, "files": (File("web.pem", made.bundle), LIST), **changes}
    return state(generation, server(8001), **more)


def served(lab: Lab, name: str = HOST, port: int = 443) -> int:
    """The serial number of the certificate that clients are shown who ask for a host."""

    def handshake() -> int:
        context = ssl.create_default_context(cadata=CA.pem)
        context.check_hostname = False
        with (
            socket.create_connection((VIP, port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
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


def test_an_amphora_goes_on_with_what_it_has_and_says_what_it_lacks(lab: Lab) -> None:
    good = certificates.make(HOST, CA)
    lab.apply(encrypted(1, good))
    pids = lab.haproxy_pids()
    as_it_is = File("web.pem", None)
    assert not lab.apply(encrypted(2, good, files=(as_it_is, LIST))).reloaded, lab.log
    assert served(lab) == good.certificate.serial_number
    assert lab.haproxy_pids() == pids
    # What is to go on with something that is not here changes nothing.
    lacking = (as_it_is, File("other.ca", None), LIST)
    status, body = lab.request("PUT", "/v1/state", encode(encrypted(3, good, files=lacking)))
    assert (status, decode_lacking(body)) == (424, Lacking(("other.ca",)))
    assert lab.info()["generation"] == 2
    # It is what HAProxy starts from, and the agent, too.
    (pid,) = pids
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - {pid})
    eventually(lambda: _serves(lab))
    assert served(lab) == good.certificate.serial_number


NAMES = ("a.example.org", "b.example.org", "c.example.org")
MADE = {name: certificates.make(name, CA) for name in NAMES}


def listed(generation: int, *names: str, second: tuple[str, ...] = NAMES[:1]) -> DesiredState:
    """Two listeners with lists of certificates, the first of each is its default."""
    fronts = "".join(
        f"frontend tls{port}\n    bind {VIP}:{port} ssl crt-list tls/list{port}.list\n    http-request return status 200\n"
        for port in (443, 444)
    )
    lists = {443: names, 444: second}
    files = [
        *(File(f"{name.partition('.')[0]}.pem", MADE[name].bundle) for name in {*names, *second}),
        *(
            File(f"list{port}.list", "".join(f"tls/{name.partition('.')[0]}.pem\n" for name in each))
            for port, each in lists.items()
        ),
    ]
    return state(generation, server(8001), extra=fronts, files=tuple(files))


def shown(lab: Lab, port: int = 443) -> list[str]:
    """Whose certificate clients are shown who ask for each of the names."""
    owners = {made.certificate.serial_number: name for name, made in MADE.items()}
    return [owners[served(lab, name, port)] for name in NAMES]


def test_certificates_come_and_go_without_a_reload(lab: Lab) -> None:
    a, b, c = NAMES
    lab.apply(listed(1, a))
    pids = lab.haproxy_pids()
    assert shown(lab) == [a, a, a]
    for generation, (names, second, expected) in enumerate(
        [
            ((a, b), (a,), [a, b, a]),
            ((a, b, c), (a, b), [a, b, c]),
            ((a, c), (a, b), [a, a, c]),
            ((a,), (a, b), [a, a, a]),
            ((a, b), (a,), [a, b, a]),
        ],
        start=2,
    ):
        assert not lab.apply(listed(generation, *names, second=second)).reloaded, lab.log
        assert shown(lab) == expected
        assert shown(lab, 444) == [a, b if b in second else a, a]
        # Keys that nobody needs are gone from HAProxy's memory.
        kept = set(lab.haproxy("show ssl cert").split()[2:])
        assert kept == {f"tls/{name.partition('.')[0]}.pem" for name in {*names, *second}}
    assert lab.haproxy_pids() == pids
    # It is what the next process has, too.
    (pid,) = pids
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.haproxy_pids() - pids and agent_lab.answers(lab))
    eventually(lambda: _serves(lab))
    assert shown(lab) == [a, b, a]


def test_another_default_certificate_or_order_is_another_process(lab: Lab) -> None:
    a, b, c = NAMES
    lab.apply(listed(1, a, c))
    for generation, names in enumerate([(b, c), (b, a, c), (b, c, a)], start=2):
        assert lab.apply(listed(generation, *names)).reloaded
        assert shown(lab)[1] == b


def test_a_certificate_that_comes_with_the_wrong_key_is_refused(lab: Lab) -> None:
    a, b, _ = NAMES
    lab.apply(listed(1, a))
    wanted = listed(2, a, b)
    bad = File("b.pem", MADE[b].pem + MADE[a].key_pem)
    files = tuple(bad if file.name == bad.name else file for file in wanted.files)
    status, applied = lab.put(dataclasses.replace(wanted, files=files))
    assert (status, applied.generation) == (422, 1)
    assert "b.pem" in applied.fault
    assert shown(lab) == [a, a, a]
    assert not lab.apply(listed(3, a, b)).reloaded, lab.log
    assert shown(lab) == [a, b, a]


def test_an_agent_that_starts_again_goes_on_with_its_lists(lab: Lab) -> None:
    a, b, c = NAMES
    lab.apply(listed(1, a, b))
    lab.apply(listed(2, a, b, c))
    pids, agent = lab.haproxy_pids(), lab.agent_pid()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent))
    eventually(lambda: agent_lab.answers(lab))
    assert shown(lab) == [a, b, c]
    assert not lab.apply(listed(3, a, c)).reloaded
    assert shown(lab) == [a, a, c]
    assert lab.haproxy_pids() == pids


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
