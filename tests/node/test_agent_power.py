"""A power cut right after a change was confirmed: what is on the disk then is what the amphora starts with.

The disk is a file system in a file that writes back as late as it can. A copy of the file is what a power cut
leaves: what was only in the kernel's memory is not in it.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria.wire.state import DesiredState
from tests.node import agent_lab
from tests.node.agent_lab import eventually, server, state
from tests.unit.test_amphora_kept import KEPT, steps

pytestmark = pytest.mark.node


class Disk:
    """A file system of its own at ``place``."""

    def __init__(self, directory: Path) -> None:
        self._image = directory / "image"
        self.place = directory / "disk"
        self.place.mkdir()
        with self._image.open("wb") as image:
            image.truncate(64 << 20)
        _run("mkfs.ext4", "-q", str(self._image))
        self._mount(self._image)

    def sync(self) -> None:
        """Have all on the disk that was written so far."""
        _run("sync", "--file-system", str(self.place))

    def cut(self) -> Path:
        """What there is on the disk at this moment."""
        copy = self._image.with_name("copy")
        _run("cp", "--sparse=always", str(self._image), str(copy))
        return copy

    def start_from(self, image: Path) -> None:
        """Have it be that, instead of what it is."""
        _run("umount", str(self.place))
        self._mount(image)

    def _mount(self, image: Path) -> None:
        # Nothing is written back within an hour that nobody asks for.
        _run("mount", "-o", "loop,commit=3600", str(image), str(self.place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    try:
        yield made
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", str(made.place))


def test_an_amphora_starts_with_what_it_has_confirmed(disk: Disk) -> None:
    with agent_lab.running(disk.place) as lab:
        lab.member(8001)
        lab.apply(state(1, server(8009)))
        disk.sync()
        lab.apply(state(2, server(8001), term=5))
        left = disk.cut()
        agent_lab.end(lab.process)
        disk.start_from(left)
        lab.process = agent_lab.start_amphora(lab.namespace, lab.directory)
        try:
            eventually(lambda: agent_lab.answers(lab))
            assert lab.info()["generation"] == 2
            assert eventually(lambda: agent_lab.serves(lab)) == "8001"
        finally:
            agent_lab.end(lab.process)


@pytest.mark.parametrize("done", range(6))
def test_a_power_cut_in_the_middle_of_a_change_leaves_the_one_state_or_the_other(
    disk: Disk, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the new one, once it is confirmed. What it names is in memory, and gone with the power."""
    old, new = DesiredState(1), DesiredState(2, term=7)
    monkeypatch.chdir(disk.place)
    for step in steps(DesiredState(0), old):
        step()
    disk.sync()
    change = steps(old, new)
    for step in change[:done]:
        step()
    left = disk.cut()
    monkeypatch.chdir("/")
    disk.start_from(left)
    monkeypatch.chdir(disk.place)
    assert KEPT.read() in ((new,) if done >= len(change) - 1 else (old, new))
    monkeypatch.chdir("/")
