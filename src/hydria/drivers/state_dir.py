"""What embedded drivers keep below ``[DEFAULT] state_dir``: the instance's id, whole files, locks.

Several programs share the directory, and any of them may be killed at any moment: a file is there as a whole
or not at all, and a lock is the kernel's (``flock``), which frees it when its holder dies.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydria.model.errors import DriverError, Unavailable

INSTANCE = "instance"
_NOBODY = -1  # no valid id: asks without changing anything
_libc = ctypes.CDLL(None)
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
    if not state_dir.is_dir():
        state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with as_owner(state_dir, path):
        if path.is_dir():
            return
        if path.is_relative_to(state_dir):
            make_directory(path.parent, state_dir)
        path.mkdir(mode=mode, parents=True, exist_ok=True)


@contextmanager
def as_owner(state_dir: Path, path: Path | None = None) -> Iterator[None]:
    """Have this thread of root's go about files as the one whose state_dir it is, and get no further than he.

    Below a directory of his he may put a symbolic link in the place of anything, at any moment; as root, one
    would follow it to files that are not his to read, write or own. path: what it is about, where that may be
    a file elsewhere, which this does not concern.
    """
    owner = state_dir.stat()
    if os.geteuid() != 0 or owner.st_uid == 0 or (path and not path.is_relative_to(state_dir)):
        yield
        return
    # Of this thread alone. They say nothing of failures: who it was before, and then who it is.
    group, user = _libc.setfsgid(owner.st_gid), _libc.setfsuid(owner.st_uid)
    try:
        if _libc.setfsuid(_NOBODY) != owner.st_uid or _libc.setfsgid(_NOBODY) != owner.st_gid:
            raise DriverError(f"Cannot write below {state_dir} as its owner, user {owner.st_uid}.")
        _look_at(state_dir, owner.st_uid)
        yield
    finally:
        _libc.setfsuid(user)
        _libc.setfsgid(group)


def _look_at(state_dir: Path, owner: int) -> None:
    try:
        state_dir.stat()
    except PermissionError as error:
        raise DriverError(
            f"{state_dir} belongs to the user {owner}, who cannot get there: give it to root, or let that"
            " user pass the directories above it."
        ) from error


@contextmanager
def own_directory(
    path: Path, *, group: int | None = None, mode: int = 0o700, make: bool = True
) -> Iterator[Path]:
    """A directory that nobody but this user can have written to, by a path that stays with it.

    Whoever owns the directory above may put another one, or a symbolic link, in its place at any moment; so
    it is opened once, looked at, and gone to through its descriptor. The one that an earlier version has
    given to state_dir's owner becomes root's again. Raises DriverError when it is somebody else's,
    FileNotFoundError when it is not there and not to be made.
    """
    if make:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:  # also for a symbolic link
        raise DriverError(f"{path} is no directory: remove it.") from error
    try:
        _claim(descriptor, path)
        found = os.fstat(descriptor)
        if make and group is not None and found.st_gid != group:
            os.fchown(descriptor, -1, group)
        if make and stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _claim(descriptor: int, path: Path) -> None:
    user = os.geteuid()
    found = os.fstat(descriptor)
    if found.st_uid == user and not found.st_mode & 0o022:
        return
    if user or found.st_uid != path.parent.stat().st_uid:
        raise DriverError(
            f"{path} belongs to the user {found.st_uid} (mode {stat.S_IMODE(found.st_mode):o}), who could"
            f" have put anything there, and not to {user} alone: remove it."
        )
    os.fchmod(descriptor, 0o700)
    os.fchown(descriptor, 0, 0)


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
