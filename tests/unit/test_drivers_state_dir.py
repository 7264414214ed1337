"""Files and locks that several programs share."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hydria.drivers import state_dir
from hydria.model.errors import DriverError, Unavailable


def test_everybody_finds_the_same_instance(tmp_path: Path) -> None:
    root = tmp_path / "new" / "state"
    assert state_dir.existing_instance_id(root) is None
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(state_dir.instance_id, [root] * 16))
    assert len(found) == 1
    assert len(found.pop()) == 6
    assert [path.name for path in root.iterdir()] == ["instance"]


def test_what_is_no_instance_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("../etc")
    assert state_dir.existing_instance_id(tmp_path) is None
    with pytest.raises(DriverError, match="six hex digits"):
        state_dir.instance_id(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DriverError, match="state_dir"):
        state_dir.instance_id(tmp_path / "file" / "below")


def test_a_replaced_file_keeps_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        state_dir.replace(tmp_path / "file", b"1", mode=0o640)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    state_dir.create_once(tmp_path / "file", b"2")
    assert state_dir.read_json(tmp_path / "file") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lock_keeps_threads_apart_and_waits_only_so_long(tmp_path: Path) -> None:
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with state_dir.exclusive(tmp_path):
            inside.set()
            leave.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(5)
    with pytest.raises(Unavailable), state_dir.exclusive(tmp_path, seconds=0.02):
        pass
    leave.set()
    holder.join()
    began = time.monotonic()
    with state_dir.exclusive(tmp_path):
        assert time.monotonic() - began < 1
