"""The files that a configuration names: certificates, keys and lists, whose content is no part of it.

A file is named after what it is for: the identity of a secret's reference (model/secrets.py), a listener, a
rule. So it is the same file when its content has changed, which a running process takes up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hydria.dataplane.haproxy.token import entry, pattern
from hydria.model.errors import Invalid
from hydria.model.secrets import identity
from hydria.wire.state import File

_DIRECTORY = "tls"


@dataclass(slots=True)
class Files:
    """What a configuration refers to, collected while it is written.

    secrets: reference -> PEM text; of a certificate with its private key and intermediates. None is what the
    amphora has under that name. references: the names of files that hold a secret, with its reference.
    """

    secrets: Mapping[str, str | None]
    references: dict[str, str] = field(default_factory=dict)
    _made: dict[str, File] = field(default_factory=dict)

    def secret(self, reference: str, suffix: str) -> str:
        """The path of the file that holds what a reference stands for."""
        if reference not in self.secrets:
            raise Invalid(f"Could not retrieve certificate: {[reference]}")
        name = f"{hashlib.sha256(identity(reference).encode()).hexdigest()[:32]}.{suffix}"
        self.references[name] = reference
        content = self.secrets[reference]
        if content is None:
            return self._add(File(name, None))
        lines = (line.rstrip() for line in content.splitlines())
        return self._add(File(name, "\n".join(filter(None, lines)) + "\n"))

    def certificates(self, name: str, references: Sequence[str]) -> str:
        """The path of a list of certificates, the first of which is for clients that name no host."""
        paths = dict.fromkeys(self.secret(reference, "pem") for reference in references)
        return self._add(File(f"{name}.list", "".join(f"{path}\n" for path in paths)))

    def patterns(self, name: str, texts: Iterable[str]) -> str:
        """The path of a list of what an ACL compares with."""
        return self._add(File(f"{name}.acl", "".join(f"{pattern(text)}\n" for text in texts)))

    def map(self, name: str, pairs: Iterable[tuple[str, str]]) -> str:
        """The path of a map from keys to values."""
        return self._add(File(f"{name}.map", "".join(f"{entry(*pair)}\n" for pair in pairs)))

    def program(self, content: str) -> str:
        """The path of a program in Lua. Read at the start alone, so another has another name."""
        return self._add(File(f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.lua", content))

    def made(self) -> tuple[File, ...]:
        """All of them."""
        return tuple(self._made.values())

    def _add(self, file: File) -> str:
        self._made[file.name] = file
        return f"{_DIRECTORY}/{file.name}"
