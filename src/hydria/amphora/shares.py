"""Pure: how the flows to come are shared out, so that in the end nobody has more than others for its weight.

The kernel sends a new flow somewhere without knowing how many there are. So the odds are set anew every now
and then, as if what comes until the next time were water that is poured in: where the level is lowest.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
_PARTS = 100  # of an even share
# A flow is forgotten after so many idle seconds at the earliest (nf_conntrack_udp_timeout). So while their
# number stays, no more than this part of them is new in a second.
_LIFE = 30


def shares(weights: Mapping[T, int], flows: Mapping[T, int]) -> dict[T, int]:
    """Parts of the flows that come within a second, of those who get some.

    weights: of at least 1. flows: how many each has now. When all have what they should, so do their parts.
    """
    if not weights:
        return {}
    coming = max(len(weights), sum(flows.get(each, 0) for each in weights) // _LIFE)
    level = _level(weights, flows, coming)
    missing = {each: max(0.0, level * weight - flows.get(each, 0)) for each, weight in weights.items()}
    scale = _PARTS * len(weights) / sum(missing.values())
    parts = {each: round(scale * lacking) for each, lacking in missing.items()}
    return {each: part for each, part in parts.items() if part}


def _level(weights: Mapping[T, int], flows: Mapping[T, int], coming: int) -> float:
    """Flows for a weight of 1, once what comes has gone where there were fewest."""
    depths = sorted((flows.get(each, 0) / weight, weight) for each, weight in weights.items())
    level, width, left = 0.0, 0, float(coming)
    for depth, weight in depths:
        if (depth - level) * width >= left:
            break
        left -= (depth - level) * width
        level, width = depth, width + weight
    return level + left / width
