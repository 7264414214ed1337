"""Instances and ports of this deployment whose owner is not in the database."""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable

from hydria.drivers.compute.interface import ComputeDriver
from hydria.drivers.network.interface import NetworkDriver
from hydria.model.errors import HydriaError
from hydria.store import Store, upkeep

LOG = logging.getLogger(__name__)

_LOOKED_UP = 2000  # owners in one pass
_REMOVED = 100  # orphans of a kind in one pass


class Orphans:
    """Finds and removes them, once they have been without an owner for ``age`` seconds.

    So what is just being made is left alone. That time counts from when this program first saw it. One pass
    looks up so many owners at most, in turns, and again those of all that it suspects.
    """

    def __init__(self, store: Store, compute: ComputeDriver, network: NetworkDriver, age: float) -> None:
        self._store = store
        self._compute = compute
        self._network = network
        self._age = age
        self._suspected: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        self._instances, self._ports = _Turn(), _Turn()

    def end_instances(self) -> tuple[int, int]:
        """How many instances were removed, and how many more are to be."""
        found = {instance.compute_id: instance.name for instance in self._compute.instances()}
        return self._remove("Instance", found, self._instances, self._compute.delete)

    def free_ports(self) -> tuple[int, int]:
        """The same for ports."""
        found = {port.id: port.owner for port in self._network.ports()}
        return self._remove("Port", found, self._ports, self._network.delete_port)

    def _remove(
        self, kind: str, found: dict[str, str], turn: _Turn, remove: Callable[[str], object]
    ) -> tuple[int, int]:
        """``found``: what there is, and its owner; it was listed before anybody looks for owners.

        Whoever makes something writes its owner down first.
        """
        prefix = f"{kind} "
        suspected = {key.removeprefix(prefix) for key in self._suspected if key.startswith(prefix)}
        looked_up = {*turn.next(found), *(suspected & found.keys())}
        with self._store.read() as tx:
            owners = upkeep.living(tx, {found[key] for key in looked_up})
        orphans = {key for key in looked_up if found[key] not in owners}
        now = time.monotonic()
        since = {prefix + key: self._suspected.get(prefix + key, now) for key in orphans}
        for key in suspected:
            self._suspected.pop(prefix + key)
        self._suspected |= since
        for key in [key for key in self._tried if key.startswith(prefix) and key not in since]:
            del self._tried[key]
        ripe = [key for key in orphans if now - since[prefix + key] >= self._age]
        # Who could not be removed lets the others go first.
        ripe.sort(key=lambda key: (self._tried.get(prefix + key, 0.0), key))
        removed = 0
        for key in ripe[:_REMOVED]:
            self._tried[prefix + key] = now
            removed += _removed(f"{kind} {key} ({found[key]})", remove, key)
        return removed, len(ripe) - removed


class _Turn:
    """Goes through keys in their order, some in each pass, and begins anew behind the last."""

    def __init__(self) -> None:
        self._last = ""

    def next(self, keys: Iterable[str]) -> list[str]:
        ordered = sorted(keys)
        if len(ordered) <= _LOOKED_UP:
            return ordered
        start = bisect_right(ordered, self._last)
        taken = (ordered[start:] + ordered[:start])[:_LOOKED_UP]
        self._last = taken[-1]
        return taken


def _removed(what: str, remove: Callable[[str], object], key: str) -> bool:
    """Remove an orphan; False when that failed, which must not keep the others alive."""
    try:
        remove(key)
    except HydriaError as error:
        LOG.warning("%s has no owner, but cannot be removed: %s", what, error)
        return False
    except Exception:
        LOG.exception("%s has no owner, but cannot be removed", what)
        return False
    LOG.info("%s has no owner: it is removed", what)
    return True
