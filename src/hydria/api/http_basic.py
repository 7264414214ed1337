"""``auth_strategy = http_basic``: callers are users of a file, for deployments without Keystone.

Each has a project of its own, unless options say which, and one of three roles: ``member``, or ``reader`` or
``admin`` where options name the user. The rules are the same as with Keystone. bcrypt takes some tens of
milliseconds by design, so who was right before is known by a keyed digest, which is all that is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bcrypt
import falcon

from hydria.api import htpasswd
from hydria.api.access_log import USER
from hydria.api.call import Caller
from hydria.api.caller import is_loopback
from hydria.api.faults import Unauthorized
from hydria.api.guesses import Guesses
from hydria.api.htpasswd import UserFile
from hydria.model import alphabets, kinds
from hydria.model.errors import Forbidden, Invalid
from hydria.settings import Settings

_CHALLENGE = 'Basic realm="Hydria", charset="UTF-8"'
_KNOWN_SECONDS = 3600.0
_LONGEST_PASSWORD = 72  # bytes that bcrypt looks at; htpasswd and others ignore the rest as well
_LONGEST_HEADER = 2048
_COST = 12  # where nobody has one


@dataclass(frozen=True, slots=True)
class _Known:
    """That a user was right: a digest of what was said, the hash it was held against, how long it counts."""

    digest: bytes
    hashed: bytes
    until: float


class HttpBasic:
    """The strategy. Raises Invalid at the start for a file or options that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        options = settings.api_settings
        self._users = UserFile(Path(options.http_basic_auth_user_file))
        self._callers = _Callers(settings)
        self._behind_proxy = settings.oslo_middleware.enable_proxy_headers_parsing
        self._key = secrets.token_bytes(32)
        self._known: dict[str, _Known] = {}
        self._guesses = Guesses()

    def __call__(self, request: falcon.Request) -> Caller:
        """Who it is; Unauthorized when the header does not prove it."""
        env = request.env
        if env["wsgi.url_scheme"] != "https" and not self._behind_proxy and not _here(env):
            raise Forbidden("Passwords are taken over TLS alone ([api_settings] auth_strategy = http_basic).")
        user, password = _credentials(env.get("HTTP_AUTHORIZATION", ""))
        env[USER] = user
        if not self._proves(user, password, str(env.get("REMOTE_ADDR", ""))):
            raise Unauthorized(_CHALLENGE)
        return self._callers.of(user)

    def _proves(self, user: str, password: bytes, address: str) -> bool:
        users = self._users.hashes()
        hashed = users.get(user)
        digest = hashlib.blake2b(user.encode() + b"\0" + password, key=self._key).digest()
        known = self._known.get(user)
        fresh = known is not None and known.hashed == hashed and time.monotonic() < known.until
        if fresh and known is not None and hmac.compare_digest(known.digest, digest):
            return True
        dearest = max(map(htpasswd.cost, users.values()), default=_COST)
        if not self._guesses.judged(address, partial(_right, password, hashed, dearest)) or hashed is None:
            return False
        self._known[user] = _Known(digest, hashed, time.monotonic() + _KNOWN_SECONDS)
        return True


def _right(password: bytes, hashed: bytes | None, dearest: int) -> bool:
    """Whether it is the password. Every "no" takes as long as at the dearest cost, whoever is meant."""
    if hashed is None:
        bcrypt.checkpw(password, _nobody(dearest))
        return False
    if bcrypt.checkpw(password, hashed):
        return True
    for cost in range(htpasswd.cost(hashed), dearest):  # each doubles what it has taken so far
        bcrypt.checkpw(password, _nobody(cost))
    return False


def _nobody(cost: int) -> bytes:
    return b"$2b$%02d$" % cost + b"." * 53


class _Callers:
    """User -> Caller, by the options."""

    def __init__(self, settings: Settings) -> None:
        options = settings.api_settings
        self._admins = frozenset(options.http_basic_admin_users)
        self._readers = frozenset(options.http_basic_reader_users)
        self._projects = options.http_basic_user_projects
        both = sorted(self._admins & self._readers)
        if both:
            raise Invalid(
                f"[api_settings] {kinds.shown(both[0])} is in http_basic_admin_users and in"
                " http_basic_reader_users; leave it in one."
            )
        for user, project_id in self._projects.items():
            try:
                alphabets.PROJECT.parse(project_id)
            except kinds.BadValue as refusal:
                raise Invalid(
                    f"[api_settings] http_basic_user_projects: {kinds.shown(user)}: {refusal}"
                ) from None

    def of(self, user: str) -> Caller:
        """The caller that this user is."""
        roles: tuple[str, ...] = ("member", "reader")
        if user in self._admins:
            roles = ("admin", *roles)
        elif user in self._readers:
            roles = ("reader",)
        return Caller(self._projects.get(user, user), user_id=user, roles=roles)


def _here(env: dict[str, object]) -> bool:
    remote = str(env.get("REMOTE_ADDR", ""))
    return remote == "" or is_loopback(remote)  # a Unix socket has none


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, text = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(text) > _LONGEST_HEADER:
        raise Unauthorized(_CHALLENGE)
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        name = user.decode()
    except (binascii.Error, ValueError):
        raise Unauthorized(_CHALLENGE) from None
    if not colon or b"\0" in password:
        raise Unauthorized(_CHALLENGE)
    return name, password[:_LONGEST_PASSWORD]
