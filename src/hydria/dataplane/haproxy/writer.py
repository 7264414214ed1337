"""A configuration as sections of lines of tokens; nothing gets in but through :func:`~.token.token`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from hydria.dataplane.haproxy.token import token


@dataclass(slots=True)
class Section:
    """``backend NAME`` and what is indented below it; servers apart, because they are not structure."""

    head: str
    lines: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)

    @classmethod
    def named(cls, keyword: str, *name: str) -> Self:
        """A section without lines yet."""
        return cls(_line((keyword, *name)))

    def add(self, *words: str | int) -> None:
        """Add a line."""
        self.lines.append(_line(words))

    def add_server(self, *words: str | int) -> None:
        """Add a line that a runtime command can make superfluous."""
        self.servers.append(_line(words))


def text(sections: Iterable[Section], *, servers: bool = True) -> str:
    """The configuration file."""
    return "\n".join(_lines(sections, servers=servers)) + "\n"


def _lines(sections: Iterable[Section], *, servers: bool) -> Iterator[str]:
    for number, section in enumerate(sections):
        if number:
            yield ""
        yield section.head
        for line in section.lines:
            yield f"    {line}"
        if servers:
            for line in section.servers:
                yield f"    {line}"


def _line(words: Iterable[str | int]) -> str:
    return " ".join([token(word) for word in words])
