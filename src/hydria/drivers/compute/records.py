"""What the netns driver keeps of an amphora on disk: its boot directory, with a record of how it was built.

``amphorae/<amphora id>/`` belongs to root; the amphora's own user may pass through it and read what it is
born with. ``instance.json`` in it is the record, written first, so that whatever a killed build leaves can be
found and removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from hydria.drivers import state_dir
from hydria.drivers.compute.interface import AmphoraSpec
from hydria.model.errors import DriverError

LOG = "agent.log"
_RECORD = "instance.json"
_MOST_USERS = 1 << 24
_LOCKS = 64


@dataclass(frozen=True, slots=True)
class Record:
    """How an amphora was built. user: the numeric user and group id that is its own."""

    name: str
    amphora_id: str
    load_balancer_id: str
    lb_network_ip: str
    user: int


class Records:
    """The boot directories below a state directory."""

    def __init__(self, root: Path, first_user: int) -> None:
        self._root = root
        self._directory = root / "amphorae"
        self._first_user = first_user

    def path(self, amphora_id: str) -> Path:
        """The boot directory of an amphora."""
        return self._directory / amphora_id

    def lock_path(self, name: str) -> Path:
        """A file to lock for an amphora; a few share one, since a lock's file must never be removed."""
        path = self._root / "locks" / f"amphora-{zlib.crc32(name.encode()) % _LOCKS}"
        state_dir.make_directory(path.parent, self._root, mode=0o700)
        path.touch(mode=0o600)
        return path

    def create(self, spec: AmphoraSpec) -> Record:
        """Make the boot directory. The user follows from the LB network address: unique among the living."""
        address = ipaddress.ip_interface(spec.lb_network.addresses[0])
        index = int(address.ip) - int(address.network.network_address)
        user = self._first_user + index % _MOST_USERS
        record = Record(spec.name, spec.amphora_id, spec.load_balancer_id, str(address.ip), user)
        state_dir.make_directory(self._directory, self._root, mode=0o711)
        path = self.path(spec.amphora_id)
        path.mkdir(mode=0o700)
        state_dir.replace(path / _RECORD, json.dumps(dataclasses.asdict(record)).encode())
        os.chown(path, 0, user)
        path.chmod(0o710)
        for name, content in spec.files.items():
            _write(path / name, content)
        dataclasses.replace(spec.boot, user=user).write(path)
        _write(path / LOG, b"")
        return record

    def read(self, amphora_id: str) -> Record | None:
        """How an amphora was built; None when it was not, or not far enough to tell."""
        fields = state_dir.read_json(self.path(amphora_id) / _RECORD)
        return Record(**fields) if isinstance(fields, dict) else None

    def all(self) -> list[str]:
        """The ids of all amphorae that have a boot directory."""
        try:
            return sorted(os.listdir(self._directory))  # noqa: PTH208  (asked for often, for the names alone)
        except FileNotFoundError:
            return []

    def last_words(self, amphora_id: str) -> str:
        """The end of an amphora's log, for an operator who asks why it is not running."""
        try:
            text = (self.path(amphora_id) / LOG).read_bytes()[-500:].decode(errors="replace")
        except FileNotFoundError:
            return ""
        return " | ".join(text.splitlines()[-3:])

    def remove(self, amphora_id: str) -> None:
        """Remove a boot directory if it is there. Symbolic links in it are not followed."""
        try:
            shutil.rmtree(self.path(amphora_id))
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError(f"Cannot remove {self.path(amphora_id)}: {error}.") from error


def _write(path: Path, content: bytes) -> None:
    # For root alone: the agent reads its files before it gives its privileges up, HAProxy never does.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
