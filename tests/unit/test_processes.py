"""Who is certain to have ended; of whom it is not certain, nobody frees anything."""

import os
import subprocess
import sys

import pytest

from hydria import processes
from hydria.processes import has_died, identity

ASK = "from hydria.processes import identity; print(identity(), flush=True); input()"


def ended() -> str:
    """A controller of this host that has ended."""
    done = subprocess.run([sys.executable, "-c", ASK], input="\n", capture_output=True, text=True, check=True)
    return f"host:{done.stdout.strip()}"


def test_a_program_is_dead_once_it_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin
        assert program.stdout
        owner = f"some:host:{program.stdout.readline().strip()}"
        assert f".{program.pid}." in owner
        assert not has_died(owner)
        program.communicate("\n")
        assert has_died(owner)


def test_this_program_lives() -> None:
    assert not has_died(f"host:{identity()}")


def test_another_program_that_had_the_same_id_is_dead() -> None:
    place, process, started = identity().rsplit(".", 2)
    assert has_died(f"host:{place}.{process}.{int(started) - 1}")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_of_other_boots_and_namespaces_nothing_is_certain(part: int) -> None:
    parts = ended().rsplit(".", 4)
    parts[part] = "host:00000000-0000-4000-8000-000000000000" if part == 0 else "4026531999"
    assert not has_died(".".join(parts))


def test_of_a_process_that_cannot_be_looked_at_nothing_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, started = identity().rsplit(".", 2)
    owner = f"host:{place}.{os.getppid()}.{int(started) + 1}"
    assert has_died(owner), "it was started at another time"
    monkeypatch.setattr(processes, "_started", lambda _: None)  # as under hidepid
    assert not has_died(owner)


@pytest.mark.parametrize(
    "owner", ["host:4194305", "host:", "host", "", "host:...", "host:.0.0.5.6", "host:..5.6"]
)
def test_other_names_say_nothing(owner: str) -> None:
    assert not has_died(owner)


def test_without_a_proc_of_its_own_nothing_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_place", lambda: "")
    assert not has_died("host:." + ended().split(".", 3)[3])
    assert not has_died("host:" + ended().split(".", 3)[3])
