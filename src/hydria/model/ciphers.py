"""OpenSSL's cipher lists: what one string names for TLS 1.3, and what for the versions before.

OpenSSL keeps two lists and has a default for each. So a string that names ciphers for one of them must not
open the other one to that default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hydria.model.statuses import TLSVersion

# What OpenSSL speaks in TLS 1.3 unless it is told otherwise.
_SUITES = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
_OF_TLS_1_3 = "TLS_"  # what the names of its suites begin with
_OF_BEFORE = "_WITH_"  # is in the standard's names of all others, which begin alike
_TAKES_AWAY = ("!", "-")
_MOVES = "+"
_COMMAND = "@"  # a level of security, or an order
_NO_ADDITION = (*_TAKES_AWAY, _MOVES, _COMMAND)
# What the names of ciphers end with that came before TLS 1.2.
_OLD = ("-SHA", "-MD5", "_SHA", "_MD5")
_GROUPS_OF_TLS_1_2 = {
    "AESGCM", "AESCCM", "AESCCM8", "ARIA", "ARIA128", "ARIA256", "ARIAGCM", "CHACHA20", "SHA256", "SHA384",
    "SUITEB128", "SUITEB128ONLY", "SUITEB192", "TLSv1.2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ciphers:
    """A cipher list in its two halves.

    suites: those of TLS 1.3. words: the list for the versions before, as it was written.
    """

    suites: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Ciphers:
        """Split a list.

        A group of ciphers (``HIGH``) stands for suites of TLS 1.3, too, as ``openssl ciphers`` shows: for
        those that OpenSSL has by default, unless some are named.
        """
        suites: list[str] = []
        removed: set[str] = set()
        words: list[str] = []
        for word in filter(None, text.split(":")):
            name = word.lstrip("".join(_NO_ADDITION))
            if not name.startswith(_OF_TLS_1_3) or _OF_BEFORE in name:
                words.append(word)
            elif word.startswith(_TAKES_AWAY):
                removed.add(name)
            elif not word.startswith(_MOVES):
                suites.append(name)
        if not suites and any(map(_is_group, _added(words))):
            suites = list(_SUITES)
        return cls(tuple(suite for suite in suites if suite not in removed), tuple(words))

    @property
    def names(self) -> tuple[str, ...]:
        """The ciphers, and groups of such, that the list adds."""
        return (*self.suites, *_added(self.words))

    @property
    def groups(self) -> bool:
        """Whether it takes an OpenSSL to know which ciphers are in the list."""
        return any(map(_is_group, _added(self.words)))

    @property
    def commands(self) -> tuple[str, ...]:
        """What the list orders of both halves: ``@SECLEVEL=0``."""
        return tuple(_COMMAND + word.partition(_COMMAND)[2] for word in self.words if _COMMAND in word)

    def serve(self, version: TLSVersion) -> bool:
        """Whether the list has a cipher of the version, as far as names tell."""
        if version == TLSVersion.TLS_V1_3:
            return bool(self.suites)
        added = _added(self.words)
        return any(added) if version == TLSVersion.TLS_V1_2 else any(map(_is_old, added))


def _added(words: Iterable[str]) -> Iterator[str]:
    return (word.partition(_COMMAND)[0] for word in words if not word.startswith(_NO_ADDITION))


def _is_group(name: str) -> bool:
    # The name of each cipher of before TLS 1.3 has a dash, unless it is the standard's, and no group's has.
    return "-" not in name and not name.startswith(_OF_TLS_1_3)


def _is_old(name: str) -> bool:
    if _is_group(name):
        return _GROUPS_OF_TLS_1_2.isdisjoint(name.split(_MOVES))
    return name.endswith(_OLD)
