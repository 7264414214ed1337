"""What embedded drivers keep below ``[DEFAULT] state_dir``: the instance's id, whole files, locks.

Several programs share the directory, and any of them may be killed at any moment: a file is there as a whole
or not at all, and a lock is the kernel's (``flock``), which frees it when its holder dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydria.model.errors import DriverError, Unavailable

INSTANCE = "instance"
_PAUSE = 0.001  # seconds between looks at a lock that somebody holds


def instance_id(state_dir: Path) -> str:
    """Six hex digits that tell what this deployment makes on the host from what others make.

    Made once, by whichever program comes first. Raises DriverError when the directory cannot be written.
    """
    path = state_dir / INSTANCE
    if not path.exists():
        with writing(state_dir):
            make_directory(state_dir, state_dir)
            create_once(path, secrets.token_hex(3).encode(), mode=0o644)
    found = existing_instance_id(state_dir)
    if found is None:
        raise DriverError(f"{path} is not six hex digits; remove it if nothing of this deployment runs.")
    return found


@contextmanager
def writing(state_dir: Path) -> Iterator[None]:
    """Turn what keeps this user from writing in a state directory into a DriverError that says so."""
    try:
        yield
    except OSError as error:
        raise DriverError(
            f"Cannot write below {state_dir}: {error.strerror}. Let this user write there, or set --state-dir"
            " or [DEFAULT] state_dir to a directory of its own."
        ) from error


def existing_instance_id(state_dir: Path) -> str | None:
    """The id, None while nothing was ever made here."""
    with suppress(FileNotFoundError, NotADirectoryError):
        text = (state_dir / INSTANCE).read_text().strip()
        if len(text) == 6 and not set(text) - set("0123456789abcdef"):
            return text
    return None


def make_directory(path: Path, state_dir: Path, *, mode: int = 0o755) -> None:
    """Make a directory and its parents; what root makes in somebody's state_dir belongs to that somebody."""
    if path.is_dir():
        return
    if path != state_dir:
        make_directory(path.parent, state_dir)
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        owner = state_dir.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def create_once(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Make a file unless it is there; of several who try, one wins, and all find its content."""
    unfinished = _write_beside(path, content, mode)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)
    finally:
        unfinished.unlink()


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file: readers, and whoever comes after a crash, find the old content or the new one."""
    _write_beside(path, content, mode).replace(path)


def read_json(path: Path) -> object | None:
    """What a file holds; None when there is no such file, or when a power cut has left it without content."""
    try:
        found: object = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found


@contextmanager
def exclusive(path: Path, seconds: float = 30.0) -> Iterator[None]:
    """Hold the lock of an existing file or directory, among all threads and programs of the host.

    Raises Unavailable when somebody keeps it for longer than ``seconds``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise Unavailable(f"Another program has held {path} for {seconds:.0f} s.")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask
        os.write(descriptor, content)
        os.fdatasync(descriptor)
    except OSError:
        unfinished.unlink()
        raise
    finally:
        os.close(descriptor)
    return unfinished
