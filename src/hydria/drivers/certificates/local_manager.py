"""The embedded store of tenants' certificates: sealed files below ``[certificates] storage_path``.

A secret is ``PROJECT/NAME``, both as digests so that any text can be one, sealed (Fernet: AES-128-CBC and
HMAC-SHA256) with the key in ``[certificates] storage_key_file``. Whoever has the files without the key has
nothing. The reference is ``local://store/NAME`` (model/secrets.py), and means the secret of that name in the
project of the load balancer: nobody can refer to another project's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from hydria.drivers import state_dir
from hydria.drivers.certificates import material
from hydria.drivers.certificates.manager import Certificate, Description, ForeignReference
from hydria.model import alphabets, kinds, secrets
from hydria.model.errors import Conflict, DriverError, Invalid, NotFound
from hydria.model.resource import bad_value
from hydria.model.secrets import SecretKind
from hydria.settings import Settings

_LONGEST_NAME, _LONGEST_REFERENCE = 200, 255  # the latter is what listeners and pools take
_SUFFIX = ".sealed"


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept. content: PEM text, of a certificate with its key in ``private_key``."""

    project_id: str
    name: str
    kind: SecretKind
    content: str
    private_key: str = field(default="", repr=False)

    @property
    def reference(self) -> str:
        """What users write."""
        return secrets.reference_to(self.name)


class LocalCertificateManager:
    """Any number of programs of this host may use it at once."""

    def __init__(self, settings: Settings) -> None:
        options = settings.certificates
        self._root = settings.state_dir
        self._directory = Path(options.storage_path or settings.state_dir / "certificates")
        self._key_file = Path(options.storage_key_file or settings.state_dir / "certificates.key")

    # --- what controllers read

    def certificate(self, reference: str, project_id: str) -> Certificate:
        """A certificate with its private key."""
        secret = self._expect(reference, project_id, SecretKind.CERTIFICATE)
        return material.of_pem(secret.content.encode(), secret.private_key.encode(), kept=True)

    def text(self, reference: str, project_id: str, kind: SecretKind) -> str:
        """A CA or a CRL."""
        return material.checked_text(self._expect(reference, project_id, kind).content, kind)

    def version(self, reference: str, project_id: str) -> str:
        """The time of the file, which is never changed but replaced."""
        try:
            found = self._path(project_id, _name(reference)).stat()
        except OSError:
            raise NotFound("Secret", reference) from None
        return f"{found.st_mtime_ns}.{found.st_ino}"

    # --- what operators do

    def add(self, secret: Secret, *, replace: bool = False) -> None:
        """Keep a secret; Conflict when the project has one of that name, unless that is to be replaced."""
        if not 1 <= len(secret.name) <= _LONGEST_NAME or not secret.name.isprintable():
            raise Invalid(f"A secret's name has 1 to {_LONGEST_NAME} printable characters.")
        length = len(secrets.listed_reference(secret.name))
        if length > _LONGEST_REFERENCE:
            raise Invalid(
                f"The reference to {secret.name} would have {length} characters, and listeners take"
                f" {_LONGEST_REFERENCE}: choose a shorter name."
            )
        try:
            alphabets.PROJECT.parse(secret.project_id)
        except kinds.BadValue as refusal:
            raise bad_value("project", secret.project_id, str(refusal)) from None
        path = self._path(secret.project_id, secret.name)
        self._make_directory(self._directory)
        self._make_directory(path.parent)
        with state_dir.exclusive(path.parent):
            if path.exists() and not replace:
                raise Conflict(
                    f"Project {secret.project_id} has a secret {secret.name} already; --replace renews it."
                )
            sealed = self._seal.encrypt(json.dumps(asdict(secret)).encode())
            with state_dir.as_owner(self._root, path):
                state_dir.replace(path, sealed)

    def list(self, project_id: str) -> list[Secret]:
        """The secrets of a project by name."""
        return sorted((secret for secret, _ in self._kept(project_id)), key=lambda each: each.name)

    def describe(self, project_id: str) -> Iterator[Description]:
        """The same as everybody in the project may know it."""
        for secret, changed in sorted(self._kept(project_id), key=lambda each: each[0].name):
            expires = None if secret.kind is SecretKind.CRL else material.expiry(secret.content.encode())
            yield Description(secret.name, secret.kind, changed, expires)

    def show(self, reference: str, project_id: str) -> Secret:
        """One secret; NotFound."""
        try:
            return self._open(self._path(project_id, _name(reference)))
        except FileNotFoundError:
            raise NotFound("Secret", reference) from None

    def remove(self, reference: str, project_id: str) -> None:
        """Forget one; NotFound when there is none. What amphorae have of it, they keep."""
        try:
            path = self._path(project_id, _name(reference))
            with state_dir.as_owner(self._root, path):
                path.unlink()
        except FileNotFoundError:
            raise NotFound("Secret", reference) from None

    def _expect(self, reference: str, project_id: str, kind: SecretKind) -> Secret:
        secret = self.show(reference, project_id)
        if secret.kind is not kind:
            raise Invalid(f"{reference} is a {secret.kind}, where a {kind} is needed.")
        return secret

    def _kept(self, project_id: str) -> Iterator[tuple[Secret, datetime]]:
        """The secrets of a project, each with the time of its file."""
        for path in (self._directory / _digest(project_id)).glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):  # removed meanwhile
                yield self._open(path), datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def _open(self, path: Path) -> Secret:
        try:
            values = json.loads(self._seal.decrypt(path.read_bytes()))
            return Secret(**{**values, "kind": SecretKind(values["kind"])})
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DriverError(f"Cannot read {path}: {error.strerror}.") from error
        except (InvalidToken, ValueError, TypeError, KeyError) as error:
            raise DriverError(f"{path} was not sealed with the key in {self._key_file}.") from error

    def _path(self, project_id: str, name: str) -> Path:
        return self._directory / _digest(project_id) / f"{_digest(name)}{_SUFFIX}"

    @cached_property
    def _seal(self) -> Fernet:
        try:
            if not self._key_file.exists():
                self._make_directory(self._key_file.parent)
                with state_dir.as_owner(self._root, self._key_file):
                    state_dir.create_once(self._key_file, Fernet.generate_key())
            return Fernet(self._key_file.read_bytes().strip())
        except OSError as error:
            raise DriverError(f"Cannot use the key file {self._key_file}: {error.strerror}.") from error
        except ValueError as error:
            raise DriverError(f"{self._key_file} holds no key: {error}.") from error

    def _make_directory(self, path: Path) -> None:
        try:
            state_dir.make_directory(path, self._root, mode=0o700)
        except OSError as error:
            raise DriverError(f"Cannot make {path}: {error.strerror}.") from error


def _name(reference: str) -> str:
    name = secrets.name_of(reference)
    if name is None:
        raise ForeignReference(reference, secrets.reference_to("NAME"))
    return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
