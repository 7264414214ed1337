"""Changes that break off half-way: what served goes on serving, also for a new agent, and the next one works."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from hydria.wire.boot import Boot
from hydria.wire.encoding import encode
from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import ETH1, VIP, Lab, eventually, server, state

pytestmark = pytest.mark.node

PAGE = 4096
ROOT_PART_SECONDS = 1.5
# Stands in for the program haproxy: what the file "mode" beside it says decides whether it is killed.
HAPROXY = """#!/bin/sh
mode=$(cat /dev/shm/mode)
for argument; do
  [ "$mode $argument" = "check -c" ] && kill -9 $$
  [ "$mode $argument" = "start -D" ] && kill -9 $$
  [ "$mode $argument" = "started -D" ] && haproxy "$@" && kill -9 $$
done
exec haproxy "$@"
"""


def put(lab: Lab, desired: DesiredState) -> tuple[int, str]:
    """Status and fault of a change that is expected to break off."""
    status, body = lab.request("PUT", "/v1/state", encode(desired))
    return status, json.loads(body).get("error", "")


@contextlib.contextmanager
def restarted(lab: Lab, **options: float) -> Iterator[None]:
    """The lab's amphora, started anew, until the block ends."""
    lab.process = agent_lab.start_amphora(lab.namespace, lab.directory, **options)
    try:
        eventually(lambda: agent_lab.answers(lab))
        yield
    finally:
        agent_lab.end(lab.process)


def kill_agent(lab: Lab) -> None:
    """Have another agent, which knows what is on disk alone."""
    former = lab.agent_pid()
    os.kill(former, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, former))
    eventually(lambda: agent_lab.answers(lab))


def serves_as_before(lab: Lab, generation: int) -> None:
    assert lab.info()["generation"] == generation, lab.log
    assert lab.get() == "8001"
    assert lab.info()["haproxy_running"] is not False, lab.log


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Lab]:
    """The amphora, with a work directory on a disk of 64 pages."""
    agent_lab.end(lab.process)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={64 * PAGE}", "robust", str(lab.work)], check=True)
    try:
        with restarted(lab):
            yield lab
    finally:
        subprocess.run(["umount", str(lab.work)], check=True)


def fill(lab: Lab, *, but: int) -> None:
    """Leave this many pages of the disk free."""
    filler = lab.work / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(lab.work).f_bavail
    filler.write_bytes(b"x" * PAGE * (free - but))


@pytest.mark.parametrize("restart", [False, True])
def test_a_full_disk_leaves_the_former_state_serving(small_disk: Lab, *, restart: bool) -> None:
    lab = small_disk
    lab.member(8001)
    applied = 1
    lab.apply(state(applied, server(8001)))
    failures = 0
    for generation, free in enumerate(range(12), start=2):
        fill(lab, but=free)
        # By turns another structure and other members: a reload, and none. Two pages of configuration each.
        changed = {"timeout": f"{20 + generation}s"} if generation % 2 else {}
        comment = f"# {generation} ".ljust(PAGE * 2, "x")
        desired = state(generation, server(8001), **changed)
        status, fault = put(lab, dataclasses.replace(desired, haproxy=desired.haproxy + comment + "\n"))
        if status == 200:
            applied = generation
        else:
            assert status == 500, fault
            assert "No space left" in fault
            failures += 1
            if restart:
                kill_agent(lab)
        serves_as_before(lab, applied)
    assert failures >= 3
    assert applied == 13, "the last ones have space enough"
    (lab.work / "filler").unlink()
    lab.apply(state(14, server(8001), timeout="10s"))
    serves_as_before(lab, 14)
    assert not list(lab.work.glob("*.new"))
    assert not list(lab.work.glob("*.tmp"))


@pytest.fixture
def killable(lab: Lab) -> Iterator[Lab]:
    """The amphora, with an haproxy that ends in the middle of what the file ``mode`` says."""
    agent_lab.end(lab.process)
    Boot(**{**dataclasses.asdict(Boot.read(lab.directory)), "haproxy": "/dev/shm/haproxy"}).write(
        lab.directory
    )
    program = lab.work / "haproxy"
    program.write_text(HAPROXY)
    program.chmod(0o755)
    mode(lab, "")
    with restarted(lab):
        yield lab


def mode(lab: Lab, word: str) -> None:
    (lab.work / "mode").write_text(word)


@pytest.mark.parametrize("step", ["check", "start", "started"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_killed_haproxy_program_leaves_the_former_state_serving(
    killable: Lab, step: str, *, restart: bool
) -> None:
    lab = killable
    lab.member(8001)
    first = state(1, server(8001), nftables="table inet hydria {\n\tchain first {\n\t}\n}\n")
    lab.apply(first)
    mode(lab, step)
    other = dataclasses.replace(
        state(2, server(8002), timeout="20s"), nftables=first.nftables.replace("first", "second")
    )
    status, fault = put(lab, other)
    assert (status, fault) == (500, "/dev/shm/haproxy was ended by signal 9"), lab.log
    if step == "started":
        mode(lab, "")
    if restart:
        kill_agent(lab)
    eventually(lambda: lab.answerers() == {"8001"})
    serves_as_before(lab, 1)
    assert "chain first" in lab.in_amphora("nft", "list", "ruleset")
    mode(lab, "")
    lab.member(8002)
    lab.apply(dataclasses.replace(other, generation=3))
    eventually(lambda: lab.answerers() == {"8002"})
    assert "chain second" in lab.in_amphora("nft", "list", "ruleset")
    assert eventually(lambda: len(lab.haproxy_pids()) == 1)


def test_a_killed_nft_leaves_the_former_state_serving(lab: Lab) -> None:
    lab.member(8001)
    lab.apply(state(1, server(8001), nftables="table inet hydria {\n\tchain first {\n\t}\n}\n"))
    addresses = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(60_000))
    many = f"table inet hydria {{\n\tset many {{\n\t\ttype ipv4_addr\n\t\telements = {{ {addresses} }}\n\t}}\n}}\n"
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.is_set() and not killed:
            for pid, (name, _) in lab.processes().items():
                if name == "nft":
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        status, fault = put(lab, state(2, server(8001), timeout="20s", nftables=many))
    finally:
        over.set()
        killer.join()
    assert killed
    assert (status, fault) == (500, "nft was ended by signal 9"), lab.log
    serves_as_before(lab, 1)
    assert "chain first" in lab.in_amphora("nft", "list", "ruleset")
    lab.apply(state(3, server(8001), timeout="20s", nftables=many))
    assert "set many" in lab.in_amphora("nft", "list", "ruleset")


def test_what_a_root_part_that_hung_does_too_late_is_undone(lab: Lab) -> None:
    agent_lab.end(lab.process)
    with restarted(lab, root_part_seconds=ROOT_PART_SECONDS):
        lab.member(8001)
        lab.apply(state(1, server(8001)))
        without = dataclasses.replace(ETH1, vips=ETH1.vips[1:])
        root = lab.root_pid()
        os.kill(root, signal.SIGSTOP)
        try:
            for generation in (2, 3):
                status, fault = put(lab, state(generation, server(8001), interfaces=(without,)))
                assert (status, "does not answer" in fault) == (500, True), fault
                lab.heartbeat(lambda report: report.generation == 1 and report.haproxy)
                assert lab.get() == "8001"
        finally:
            os.kill(root, signal.SIGCONT)
        eventually(lambda: "network: as before again" in lab.log, 15)
        assert VIP in lab.in_amphora("ip", "addr")
        serves_as_before(lab, 1)
        lab.apply(state(4, server(8001), interfaces=(without,)))
        assert VIP not in lab.in_amphora("ip", "addr")


def test_a_change_right_after_a_hang_is_not_answered_by_it(lab: Lab) -> None:
    agent_lab.end(lab.process)
    with restarted(lab, root_part_seconds=ROOT_PART_SECONDS):
        lab.member(8001)
        lab.apply(state(1, server(8001)))
        root = lab.root_pid()
        os.kill(root, signal.SIGSTOP)
        try:
            assert put(lab, state(2, server(8001), nftables="table inet hydria {\n}\n"))[0] == 500
        finally:
            os.kill(root, signal.SIGCONT)
        # The late answer says that all is well: nothing is, with this ruleset.
        status, applied = lab.put(state(3, server(8001), nftables="table inet hydria { nonsense }\n"))
        assert (status, applied.generation) == (422, 1), applied
        serves_as_before(lab, 1)
