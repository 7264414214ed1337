"""Ids in portions, for statements that bind each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Engines bound the parameters of a statement (SQLite: 32,766, PostgreSQL: 65,535), and some bind ids twice.
_LARGEST = 5000


def batches(ids: Iterable[str]) -> list[Sequence[str]]:
    """The ids in order, so that transactions that meet take rows in the same one."""
    ordered = sorted(ids)
    return [ordered[start : start + _LARGEST] for start in range(0, len(ordered), _LARGEST)]
