"""The amphora's log file has a bound, whoever writes how much; nobody fails because there is no space for it."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hydria.amphora import log as amphora_log
from hydria.amphora.log import Rare

LIMIT = 20_000
WRITER = f"""
import sys
from hydria.amphora import log
log.LIMIT = {LIMIT}
for number in range(int(sys.argv[2])):
    log.log(sys.argv[1], f"line {{number}} of many")
"""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+: line \d+ of many")


def write(log: Path, part: str, lines: int, mode: str = "a+b") -> subprocess.Popen[bytes]:
    with log.open(mode) as file:
        return subprocess.Popen([sys.executable, "-c", WRITER, part, str(lines)], stderr=file)


def test_the_older_half_goes(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    assert write(log, "agent", 2000).wait(60) == 0
    lines = log.read_text().splitlines()
    assert LIMIT / 2 - 100 < log.stat().st_size <= LIMIT + 100
    assert all(map(LINE.fullmatch, lines)), "whole lines only"
    numbers = [int(line.split()[3]) for line in lines]
    assert numbers == list(range(numbers[0], 2000)), "and the last ones, none missing"


def test_two_write_to_the_same_file(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    writers = [write(log, part, 5000) for part in ("root", "agent")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert log.stat().st_size <= LIMIT + 1000
    assert all(map(LINE.fullmatch, log.read_text().splitlines()))


def test_a_file_that_cannot_be_read_has_the_bound_too(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    assert write(log, "agent", 2000, "ab").wait(60) == 0
    assert 0 < log.stat().st_size <= LIMIT + 100
    assert "line 1999 of many" in log.read_text()


def test_no_space_is_no_failure() -> None:
    assert write(Path("/dev/full"), "agent", 3, "wb").wait(60) == 0


def test_an_event_without_end_is_cut_short(capfd: pytest.CaptureFixture[str]) -> None:
    amphora_log.log("agent", "x" * 100_000)
    assert len(capfd.readouterr().err) < 10_000


def test_what_strangers_cause_is_counted(capfd: pytest.CaptureFixture[str]) -> None:
    rare = Rare("agent", seconds=0.5)
    threads = [threading.Thread(target=rare, args=(f"event {number}",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (line,) = capfd.readouterr().err.splitlines()
    assert "agent: event" in line
    written = ""
    while not written:
        rare("the next")
        written = capfd.readouterr().err
    assert re.search(r"agent: the next \((\d+) more like it were not logged\)$", written.strip())
    assert int(written.split("(")[1].split()[0]) >= 49
