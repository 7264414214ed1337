"""What the netns driver keeps of an amphora on disk: its boot directory, with a record of how it was built.

``amphorae/`` belongs to root whoever state_dir belongs to, and is gone to by descriptors, so that nobody else
can have root read or write elsewhere (:func:`.state_dir.own_directory`). ``amphorae/<amphora id>/`` may be
passed by the amphora's own root alone, who reads in it what it is born with; ``work`` in it is the agent's.
``instance.json`` is the record, written first: whatever a killed build leaves can be found and removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydria.drivers import state_dir
from hydria.drivers.compute import namespaces, user_ids
from hydria.drivers.compute.files import BOOT_DIR
from hydria.drivers.compute.interface import AmphoraSpec
from hydria.drivers.compute.order import LOG
from hydria.model.errors import DriverError
from hydria.wire.boot import CONFIG
from hydria.wire.encoding import encode

_RECORD = "instance.json"
_WORK = "work"
_LOCKS = 64


@dataclass(frozen=True, slots=True)
class Record:
    """How an amphora was built.

    user: the numeric user and group id that is its own. root: who is root inside, as the host sees it; 0
    where the kernel gives no user namespaces.
    """

    name: str
    amphora_id: str
    load_balancer_id: str
    lb_network_ip: str
    user: int
    root: int = 0


class Records:
    """The boot directories below a state directory."""

    def __init__(self, root: Path, first_user: int) -> None:
        self._root = root
        self._directory = root / "amphorae"
        self._first_user = first_user

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Keep other threads and programs off an amphora; a few share a lock, whose file is never removed."""
        state_dir.make_directory(self._root, self._root)
        with state_dir.own_directory(self._root / "locks") as locks:
            path = locks / f"amphora-{zlib.crc32(name.encode()) % _LOCKS}"
            path.touch(mode=0o600)
            with state_dir.exclusive(path):
                yield

    def create(self, spec: AmphoraSpec) -> Record:
        """Make the boot directory. The user follows from the LB network address: unique among the living."""
        address = ipaddress.ip_interface(spec.lb_network.addresses[0])
        index = int(address.ip) - int(address.network.network_address)
        user, root = user_ids.of(self._first_user, index)
        record = Record(spec.name, spec.amphora_id, spec.load_balancer_id, str(address.ip), user, root)
        with state_dir.own_directory(self._directory) as directory:
            path = directory / spec.amphora_id
            path.mkdir(mode=0o700)
            _record(path, record)
        return record

    @contextmanager
    def furnished(self, spec: AmphoraSpec, record: Record, memory_mb: int) -> Iterator[int]:
        """A descriptor of the boot directory, with everything in it that the amphora is born with.

        memory_mb: what it may have, 0 for no limit.
        """
        with (
            state_dir.own_directory(self._directory) as directory,
            state_dir.own_directory(directory / spec.amphora_id, group=record.root, mode=0o710) as path,
        ):
            _record(path, record)
            for name, content in spec.files.items():
                _write(path / name, content, record.root)
            boot = dataclasses.replace(spec.boot, user=record.user, memory_mb=memory_mb)
            _write(path / CONFIG, encode(boot), record.root)
            _write(path / LOG, b"", 0)
            work = path / _WORK
            work.mkdir(mode=0o700)
            os.chown(work, record.user, record.user, follow_symlinks=False)
            yield int(path.name)

    def read(self, amphora_id: str) -> Record | None:
        """How an amphora was built; None when it was not, or not far enough to tell, or not by root."""
        try:
            with self._opened(amphora_id) as path:
                fields = state_dir.read_json(path / _RECORD)
        except (FileNotFoundError, DriverError):
            return None
        return Record(**fields) if isinstance(fields, dict) else None

    def all(self) -> list[str]:
        """The ids of all amphorae that have a boot directory."""
        try:
            with state_dir.own_directory(self._directory, make=False) as directory:
                return sorted(os.listdir(directory))  # noqa: PTH208  (asked for often, for the names alone)
        except FileNotFoundError:
            return []

    def last_words(self, amphora_id: str) -> str:
        """The end of an amphora's log, for an operator who asks why it is not running."""
        try:
            with self._opened(amphora_id) as path:
                text = (path / LOG).read_bytes()[-500:].decode(errors="replace")
        except FileNotFoundError:
            return ""
        except DriverError as error:
            return str(error)
        return " | ".join(text.splitlines()[-3:])

    def dwelled_in(self, amphora_id: str) -> set[int]:
        """The network namespaces (inodes) of those who have its boot directory, found without names."""
        try:
            with self._opened(amphora_id) as path:
                return namespaces.without_name(path, BOOT_DIR)
        except (FileNotFoundError, DriverError):
            return set()

    def remove(self, amphora_id: str) -> None:
        """Remove a boot directory if it is there. Symbolic links are not followed."""
        try:
            with state_dir.own_directory(self._directory, make=False) as directory:
                shutil.rmtree(directory / amphora_id)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError(f"Cannot remove {self._directory / amphora_id}: {error}.") from error

    @contextmanager
    def _opened(self, amphora_id: str) -> Iterator[Path]:
        with (
            state_dir.own_directory(self._directory, make=False) as directory,
            state_dir.own_directory(directory / amphora_id, make=False) as path,
        ):
            yield path


def _record(path: Path, record: Record) -> None:
    state_dir.replace(path / _RECORD, json.dumps(dataclasses.asdict(record)).encode())


def _write(path: Path, content: bytes, owner: int) -> None:
    # For root inside alone: the agent reads its files before it gives its privileges up, HAProxy never does.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchown(descriptor, owner, owner)
