"""What the agent keeps on disk: whole and of one state, wherever a change was cut off."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hydria.amphora import files, workdir
from hydria.amphora.kept import Kept
from hydria.wire.state import DesiredState, File

OLD = DesiredState(1, files=(File("a.pem", "old a"), File("b.pem", "old b"), File("gone.pem", "x")))
NEW = DesiredState(2, files=(File("a.pem", "new a"), File("b.pem", "old b"), File("more.pem", "y")))
KEPT = Kept("key")


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for step in steps(DesiredState(0), OLD):
        step()


def steps(old: DesiredState, new: DesiredState) -> list[Callable[[], object]]:
    """What a change does on disk."""
    return [
        lambda: KEPT.stage(new),
        lambda: files.stage(old, new),
        lambda: files.switch(old, new),
        KEPT.commit,
        lambda: files.tidy(new),
    ]


@pytest.mark.parametrize("done", range(6))
def test_a_change_that_was_cut_off_is_done_or_undone(done: int) -> None:
    for step in steps(OLD, NEW)[:done]:
        step()
    expected = NEW if done > 3 else OLD
    assert KEPT.read() == expected
    files.tidy(expected)
    assert KEPT.read() == expected
    assert {path.name for path in Path(files.DIRECTORY).iterdir()} == {file.name for file in expected.files}
    assert not Path(workdir.STAGED_STATE).exists()


@pytest.mark.parametrize("links", [0, 1, 2])
def test_a_switch_of_files_that_was_cut_off_is_undone(links: int, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[str] = []
    rename = workdir.rename

    def cut_off(name: str, other: str) -> None:
        if len(renamed) == links:
            raise OSError(errno.EIO, "cut off")
        renamed.append(name)
        rename(name, other)

    KEPT.stage(NEW)
    files.stage(OLD, NEW)
    with monkeypatch.context() as patch:
        patch.setattr(workdir, "rename", cut_off)
        if links < 2:
            with pytest.raises(OSError, match="cut off"):
                files.switch(OLD, NEW)
        else:
            files.switch(OLD, NEW)
    assert KEPT.read() == OLD


def test_a_change_that_has_no_space_has_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in Path(files.DIRECTORY).iterdir()}

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    KEPT.stage(NEW)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            files.stage(OLD, NEW)
        with pytest.raises(OSError, match="No space left"):
            KEPT.stage(NEW)
    assert {path.name: path.read_bytes() for path in Path(files.DIRECTORY).iterdir()} == before
    assert KEPT.read() == OLD
