"""A configuration as sections of lines of tokens; nothing gets in but through :func:`~.token.token`.

Each line knows whose it is, so that what is wrong with it is said of that object (dataplane/culprits.py).
What a process takes up while it runs is no part of the structure: servers, and single lines added as live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from hydria.dataplane.haproxy.token import token
from hydria.model.errors import Invalid


class Unwritable(Invalid):
    """A text that cannot become part of a configuration; ``owner``: the object that has it, "" for none."""

    def __init__(self, message: str, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


@dataclass(slots=True)
class Section:
    """``backend NAME`` and what is indented below it; live: positions in ``lines`` of those that are.

    owner: the id of the object that the lines added now belong to, "" for none. owners: that of each line.
    """

    head: str
    owner: str = ""
    lines: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    live: set[int] = field(default_factory=set)

    @classmethod
    def named(cls, keyword: str, *name: str, owner: str = "") -> Self:
        """A section without lines yet."""
        return cls(_line((keyword, *name)), owner)

    @contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Have what is added in the block, and what cannot be, belong to another object."""
        before, self.owner = self.owner, owner
        try:
            yield
        except Unwritable:
            raise
        except Invalid as error:
            raise Unwritable(error.message, owner) from error
        finally:
            self.owner = before

    def add(self, *words: str | int) -> None:
        """Add a line."""
        self.lines.append(_line(words))
        self.owners.append(self.owner)

    def add_live(self, *words: str | int) -> None:
        """Add a line that a runtime command can change."""
        self.live.add(len(self.lines))
        self.add(*words)

    def add_server(self, *words: str | int) -> None:
        """Add a line that a runtime command can make superfluous."""
        self.servers.append(_line(words))


def text(sections: Iterable[Section], *, live: bool = True) -> str:
    """The configuration file; without what is live, its structure."""
    return "\n".join(line for line, _ in _lines(sections, live=live)) + "\n"


def owners(sections: Iterable[Section]) -> tuple[str, ...]:
    """Whose each line of the configuration file is: an object's id, "" for nobody's."""
    return tuple(owner for _, owner in _lines(sections, live=True))


def _lines(sections: Iterable[Section], *, live: bool) -> Iterator[tuple[str, str]]:
    for number, section in enumerate(sections):
        if number:
            yield "", ""
        yield section.head, section.owner
        for position, line in enumerate(section.lines):
            if live or position not in section.live:
                yield f"    {line}", section.owners[position]
        if live:
            for line in section.servers:
                yield f"    {line}", section.owner


def _line(words: Iterable[str | int]) -> str:
    return " ".join([token(word) for word in words])
