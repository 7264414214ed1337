"""Programs in containers, which share the host's name and not its process ids."""

import subprocess
import sys

import pytest

from hydria.processes import has_died

pytestmark = pytest.mark.node

PROGRAM = """
import sys
from hydria.processes import has_died, identity
print(identity(), flush=True)
for line in sys.stdin:
    print(has_died(line.strip()), flush=True)
"""
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


class Program:
    """A program that says who it is, and whom it knows to be dead."""

    def __init__(self, *container: str) -> None:
        self._process = subprocess.Popen(
            [*container, sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.owner = f"host:{self._line()}"

    def knows_dead(self, owner: str) -> bool:
        assert self._process.stdin
        self._process.stdin.write(f"{owner}\n")
        return self._line() == "True"

    def end(self) -> None:
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def test_nobody_takes_a_living_program_of_another_container_for_dead() -> None:
    programs = [Program(), Program(*CONTAINER), Program(*CONTAINER)]
    try:
        assert len({program.owner for program in programs}) == 3
        for program in programs:
            assert not has_died(program.owner)
            for other in programs:
                assert not program.knows_dead(other.owner)
    finally:
        for program in programs:
            program.end()
    assert [has_died(program.owner) for program in programs] == [True, False, False]
