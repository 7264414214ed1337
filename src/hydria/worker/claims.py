"""What one worker takes on of the work that is due: no more than it can begin soon, and nobody else has."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import sqlalchemy as sa

from hydria.store import Store, backlog, leases
from hydria.store.backlog import Due
from hydria.store.leases import Lease

_AT_ONCE = 100  # load balancers that one look can find


class Claims:
    """Finds work, and takes the leases on it. For one thread.

    What a look has found lasts for several claims: its statement sorts all that is due. Workers that look at
    the same time find the same, so each goes through it in an order of its own. All of it is tried before the
    next look, so nothing that has waited longer is left behind.
    """

    def __init__(self, store: Store, owner: str, seconds: float, horizon: float) -> None:
        self._store = store
        self._owner = owner
        self._seconds = seconds
        self._horizon = horizon
        self._found: Sequence[Due] = ()
        self._full = False  # whether the last look found as much as it can

    @property
    def more(self) -> bool:
        """Whether there may be work that is not taken yet."""
        return bool(self._found) or self._full

    def take(self, most: int) -> list[Lease]:
        """Take the leases on as many load balancers as there is work for, but on no more than ``most``."""
        taken = self._claim(most)
        if len(taken) < most:
            self._look()
            taken += self._claim(most - len(taken))
        return taken

    def _look(self) -> None:
        with self._store.read() as tx:
            found = backlog.due(tx, time.time(), _AT_ONCE, self._horizon)
        self._full = len(found) == _AT_ONCE
        random.shuffle(found)
        self._found = found

    def _claim(self, most: int) -> list[Lease]:
        if not self._found:
            return []
        found = self._found

        def work(tx: sa.Connection) -> tuple[list[Lease], Sequence[Due]]:
            return leases.claim(tx, found, self._owner, most, moment=time.time(), seconds=self._seconds)

        taken, self._found = self._store.transact(work)
        return taken
