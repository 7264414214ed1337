"""A configuration as sections of lines of tokens; nothing gets in but through :func:`~.token.token`.

What a process takes up while it runs is no part of the structure: servers, and single lines added as live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from hydria.dataplane.haproxy.token import token


@dataclass(slots=True)
class Section:
    """``backend NAME`` and what is indented below it; live: positions in ``lines`` of those that are."""

    head: str
    lines: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    live: set[int] = field(default_factory=set)

    @classmethod
    def named(cls, keyword: str, *name: str) -> Self:
        """A section without lines yet."""
        return cls(_line((keyword, *name)))

    def add(self, *words: str | int) -> None:
        """Add a line."""
        self.lines.append(_line(words))

    def add_live(self, *words: str | int) -> None:
        """Add a line that a runtime command can change."""
        self.live.add(len(self.lines))
        self.add(*words)

    def add_server(self, *words: str | int) -> None:
        """Add a line that a runtime command can make superfluous."""
        self.servers.append(_line(words))


def text(sections: Iterable[Section], *, live: bool = True) -> str:
    """The configuration file; without what is live, its structure."""
    return "\n".join(_lines(sections, live=live)) + "\n"


def _lines(sections: Iterable[Section], *, live: bool) -> Iterator[str]:
    for number, section in enumerate(sections):
        if number:
            yield ""
        yield section.head
        for position, line in enumerate(section.lines):
            if live or position not in section.live:
                yield f"    {line}"
        if live:
            for line in section.servers:
                yield f"    {line}"


def _line(words: Iterable[str | int]) -> str:
    return " ".join([token(word) for word in words])
