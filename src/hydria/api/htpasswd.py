"""A file of users and bcrypt hashes, as ``htpasswd -B -C 12`` writes it."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from hydria.model import alphabets, kinds
from hydria.model.errors import Invalid

LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_HASH = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_LEAST_COST = 10  # what it takes to guess doubles with each
_OPTION = "[api_settings] http_basic_auth_user_file"


class UserFile:
    """User name -> hash; read anew when it has changed. What cannot be read then leaves it as it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen = self._fingerprint()
        self._hashes = read(path)

    def hashes(self) -> Mapping[str, bytes]:
        """All users."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        return self._hashes

    def _look(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked <= _LOOK_SECONDS:
                return
            self._looked = time.monotonic()
            try:
                found = self._fingerprint()
                if found == self._seen:
                    return
                self._seen = found
                self._hashes = read(self._path)
            except Invalid as error:
                LOG.error("%s Users stay as they were.", error)  # noqa: TRY400  (no fault of ours)
                return
            LOG.info("%s has changed and applies from now on.", self._path)

    def _fingerprint(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise Invalid(f"{_OPTION} = {self._path}: {error.strerror}.") from error
        return found.st_mtime_ns, found.st_size, found.st_ino


def read(path: Path) -> Mapping[str, bytes]:
    """The users of a file. Raises Invalid with the number of the first line that is not one."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{_OPTION} = {path}: {getattr(error, 'strerror', None) or error}.") from error
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, hashed = line.strip().partition(":")
        if not user or not _HASH.fullmatch(hashed):  # without what is there: it may be a password
            raise Invalid(
                f"{_OPTION} = {path}: line {number} is not a user name, a colon and a bcrypt hash;"
                " htpasswd -B -C 12 makes one."
            )
        if user in found:
            raise Invalid(f"{_OPTION} = {path}: line {number} names {kinds.shown(user)} again.")
        try:
            alphabets.PROJECT.parse(user)
        except kinds.BadValue as refusal:
            raise Invalid(
                f"{_OPTION} = {path}: line {number}: {kinds.shown(user)} cannot name a user: {refusal}"
            ) from None
        found[user] = hashed.encode()
    _warn(path, found)
    return found


def cost(hashed: bytes) -> int:
    """The cost of a hash; twice the time for each more."""
    return int(hashed[4:6])


def _warn(path: Path, users: Mapping[str, bytes]) -> None:
    cheap = sorted(user for user, hashed in users.items() if cost(hashed) < _LEAST_COST)
    if cheap:
        LOG.warning(
            "%s = %s: the hashes of %s are of a cost below %d, so who gets the file soon knows their"
            " passwords; htpasswd -B -C 12 makes better ones.",
            _OPTION,
            path,
            kinds.shown(", ".join(cheap)),
            _LEAST_COST,
        )
