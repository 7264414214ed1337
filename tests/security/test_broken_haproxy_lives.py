"""What HAProxy's user may write cannot end the lives of an amphora: each start is heard, whatever the clock says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.amphora.seal import Seal
from tests.node import agent_lab
from tests.node.agent_lab import KEY, Lab, eventually, server, state

pytestmark = pytest.mark.node
DAY = 86_400_000_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with agent_lab.running(tmp_path) as running:
        yield running


def start_again(lab: Lab) -> None:
    """Have the agent and HAProxy killed, and wait for the next life."""
    agent = lab.agent_pid()
    for pid in (agent, *lab.haproxy_pids()):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.agent_pid() not in (0, agent) and agent_lab.answers(lab))


def test_a_start_under_an_earlier_clock_goes_on_from_the_last(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.apply(state(1, server(8001)))
    before = lab.heartbeat(lambda report: report.generation == 1)
    tomorrow = time.time_ns() // 1000 + DAY
    with monkeypatch.context() as patch:  # as if the clock had been put back by a day since
        patch.chdir(lab.work)
        Seal(KEY, "hydria-kept-epoch").write("epoch", b"%d" % tomorrow)
    start_again(lab)
    after = lab.heartbeat(lambda report: report.epoch > before.epoch)
    assert after.epoch == tomorrow + 1


def test_an_epoch_that_somebody_else_wrote_is_not_believed(lab: Lab) -> None:
    lab.apply(state(1, server(8001)))
    before = lab.heartbeat(lambda report: report.generation == 1)
    for name, body in (("epoch", b"9007199254740990"), ("running", b'{"epoch":9007199254740990}')):
        kept = lab.work / name
        seal, _, _ = kept.read_bytes().partition(b"\n")
        kept.write_bytes(seal + b"\n" + body)
    start_again(lab)
    after = lab.heartbeat(lambda report: report.epoch > before.epoch)
    assert after.epoch < time.time_ns() // 1000
    assert "the kept epoch is not what this agent wrote" in lab.log
