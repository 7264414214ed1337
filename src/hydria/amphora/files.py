"""The files that HAProxy's configuration refers to: certificates, keys and the like (``tls/``).

HAProxy reads them only when it starts, so they can be replaced below a running process. In a namespace
amphora they are in memory, and so is all that is kept of them: ``state`` has their names alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hydria.amphora import workdir
from hydria.amphora.faults import Lacking
from hydria.wire.state import DesiredState, File

DIRECTORY = "tls"
_STAGED, _FORMER = ".new", ".old"


def path(file: File) -> str:
    """Where a file is, and what HAProxy calls it."""
    return f"{DIRECTORY}/{file.name}"


def completed(old: DesiredState, new: DesiredState) -> DesiredState:
    """The new state, with what the old one has in place of contents that did not come along.

    Raises Lacking for files that neither has.
    """
    if all(file.content is not None for file in new.files):
        return new
    there = {file.name: file.content for file in old.files}
    lacks = tuple(file.name for file in new.files if file.content is None and there.get(file.name) is None)
    if lacks:
        raise Lacking(lacks)
    files = (File(file.name, there[file.name]) if file.content is None else file for file in new.files)
    return dataclasses.replace(new, files=tuple(files))


def stage(old: DesiredState, new: DesiredState) -> None:
    """Write what is new or has changed beside what is in use."""
    for file in _changed(old, new):
        Path(DIRECTORY).mkdir(mode=0o700, exist_ok=True)
        workdir.write(path(file) + _STAGED, file.content or "")


def switch(old: DesiredState, new: DesiredState) -> None:
    """Put what was staged in use; what it replaces, and what is not needed, stays until :func:`tidy`."""
    for file in _changed(old, new):
        former = Path(path(file) + _FORMER)
        former.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            former.hardlink_to(path(file))
        workdir.rename(path(file) + _STAGED, path(file))


def switch_back() -> None:
    """Put back what a change that is not finished has replaced; takes no space on the disk."""
    for former in Path(DIRECTORY).glob(f"*{_FORMER}"):
        former.replace(str(former).removesuffix(_FORMER))


def tidy(state: DesiredState) -> None:
    """Remove what the state does not name."""
    kept = {file.name for file in state.files}
    for found in Path(DIRECTORY).glob("*"):
        if found.name not in kept:
            found.unlink()


def renewed(old: DesiredState, new: DesiredState) -> Iterator[File]:
    """The files that both states have, with another content."""
    there = {file.name: file.content for file in old.files}
    return (file for file in new.files if there.get(file.name, file.content) != file.content)


def patterns(content: str) -> list[str]:
    """What HAProxy reads in a file of patterns: a line each, but for comments and blanks at its beginning."""
    lines = (line.lstrip(" ") for line in content.split("\n") if not line.startswith("#"))
    return [line for line in lines if line]


def _changed(old: DesiredState, new: DesiredState) -> Iterator[File]:
    """The files of the new state that are not as they are in the old one."""
    there = {file.name: file.content for file in old.files}
    return (file for file in new.files if there.get(file.name) != file.content)


def without_contents(state: DesiredState) -> DesiredState:
    """What may be kept on disk."""
    return dataclasses.replace(state, files=tuple(File(file.name) for file in state.files))


def with_contents(state: DesiredState) -> DesiredState | None:
    """A state that was kept on disk, with its files as they are; None when some are gone."""
    contents = [workdir.read(path(file)) for file in state.files]
    if any(content is None for content in contents):
        return None
    files = (
        File(file.name, (content or b"").decode())
        for file, content in zip(state.files, contents, strict=True)
    )
    return dataclasses.replace(state, files=tuple(files))
