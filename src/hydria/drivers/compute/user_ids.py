"""The numeric user ids of amphorae, two each, and that nobody else on the host has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hydria.model.errors import Invalid

MOST = 1 << 24  # amphorae; those who are root inside come behind all of the users
# Whoever has a range here may become any user in it; the others are single users and groups.
_RANGES = ("subuid", "subgid")
_SINGLE = ("passwd", "group")
_ID = 2  # the field with the number, in both kinds


def of(first: int, index: int) -> tuple[int, int]:
    """The user of the amphora with a place on the LB network, and who is root inside it."""
    user = first + index % MOST
    return user, user + MOST


def check(first: int, amphorae: int, directory: Path = Path("/etc")) -> None:
    """Raise Invalid when a user of the host has, or may become, one of as many amphorae's."""
    own = [(start, start + min(amphorae, MOST)) for start in of(first, 0)]
    for name, start, end, what in _taken(directory):
        for begin, behind in own:
            if begin < end and start < behind:
                raise Invalid(
                    f"[netns] first_user = {first}: amphorae would have the numbers {begin} to {behind - 1},"
                    f" and {name} has {start} to {end - 1} in {what}, so that the one can do to the other as"
                    " to himself. Set first_user to where nobody has numbers."
                )


def _taken(directory: Path) -> Iterator[tuple[str, int, int, Path]]:
    """Who, the range of his numbers, and where it says so."""
    for file in (*_RANGES, *_SINGLE):
        path = directory / file
        try:
            lines = path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            name, *fields = line.split(":")
            try:
                if file in _SINGLE:
                    start, count = int(fields[_ID - 1]), 1
                else:
                    start, count = int(fields[0]), int(fields[1])
            except (IndexError, ValueError):
                continue  # a comment, an entry of NIS
            yield name, start, start + count, path
