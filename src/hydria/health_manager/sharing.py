"""Which load balancers' amphorae this health manager looks after, and which its colleagues do.

Every health manager hears every amphora. Those that hear anything are members of a table, and each load
balancer belongs to one of them: the one whose name and the load balancer's bucket give the highest hash, so
that a member that comes or goes moves no more buckets than its own. Members let a number in their row grow;
who stood still for one and a half heartbeat intervals counts as dead. No clock is compared with another
host's. While two disagree, both look after a bucket, which costs work but harms nothing.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable

from hydria.model.errors import Unavailable
from hydria.store import Store, health_managers

LOG = logging.getLogger(__name__)
BUCKETS = 256
_LIVES = 3  # looks without a beat after which a member counts as dead
_SHORTEST = 2.0  # seconds between looks, at least; or else half a heartbeat interval
_FORGOTTEN = 600.0  # seconds without a beat after which a member's row is deleted
_REMEMBERED = 300_000  # amphorae whose load balancer is kept


class Sharing:
    """The share of one health manager.

    ``name`` is unique to it and the same after a restart. ``heard_at``: when it heard any amphora last, in
    monotonic seconds. One that hears nobody leaves its share to the others; what it hears then is its own.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        interval: float,
        trusted_after: float,
        heard_at: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._store = store
        self._clock = clock
        self._pause = max(_SHORTEST, interval / 2)
        self._lifetime = _LIVES * self._pause
        self._trusted_after = trusted_after
        self._heard_at = heard_at
        self._beats: dict[str, tuple[int, float]] = {}  # other members: beat, and when it moved last
        self._members: tuple[str, ...] = (name,)
        self._since: dict[int, float] = dict.fromkeys(range(BUCKETS), clock())
        self._mute = False
        self._balancers: dict[str, str] = {}  # amphora id -> load balancer id
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)

    def start(self) -> None:
        """Begin to share."""
        self._thread.start()

    def stop(self) -> None:
        """Leave everything to the others."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(self._pause)  # or it might join again
        try:
            self._store.transact(lambda tx: health_managers.leave(tx, self.name))
        except Unavailable as error:
            LOG.info("The other health managers take over a little later: %s", error)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Unavailable as error:
                LOG.warning("Health managers cannot see each other: %s", error)
            except Exception:
                LOG.exception("The look for other health managers broke off")
            if self._stopped.wait(self._pause):
                return

    def look(self) -> None:
        """Show that this one lives, and see who else does."""
        now = self._clock()
        with self._store.read() as tx:
            beats = health_managers.beats(tx)
        others = self._living(beats, now)
        self._mute = bool(others) and now - self._heard_at() > self._lifetime
        if self._mute:
            if self.name in beats:
                self._store.transact(lambda tx: health_managers.leave(tx, self.name))
                LOG.warning("No amphora is heard here; %s take over", ", ".join(others))
            return
        # Alone, there is nobody to show it to: one row, written once.
        if others or self.name not in beats:
            self._store.transact(lambda tx: health_managers.beat(tx, self.name))
        self._share(tuple(sorted((self.name, *others))), now)

    def _living(self, beats: dict[str, int], now: float) -> list[str]:
        for name, beat in beats.items():
            if name != self.name and self._beats.get(name, (None, 0.0))[0] != beat:
                self._beats[name] = (beat, now)
        self._beats = {name: known for name, known in self._beats.items() if name in beats}
        gone = [(name, beat) for name, (beat, moved) in self._beats.items() if now - moved > _FORGOTTEN]
        if gone:
            self._store.transact(lambda tx: health_managers.forget(tx, gone))
        return [name for name, (_, moved) in self._beats.items() if now - moved < self._lifetime]

    def _share(self, members: tuple[str, ...], now: float) -> None:
        if members == self._members:
            return
        mine = {bucket for bucket in range(BUCKETS) if _owner(members, bucket) == self.name}
        self._since = {bucket: self._since.get(bucket, now) for bucket in mine}
        self._members = members
        LOG.info(
            "Health managers: %s; this one looks after %d %%",
            ", ".join(members),
            round(100 * len(mine) / BUCKETS),
        )

    def learn(self, amphora_id: str, load_balancer_id: str) -> None:
        """Note whom an amphora serves."""
        if len(self._balancers) >= _REMEMBERED:
            self._balancers.clear()
        self._balancers[amphora_id] = load_balancer_id

    def wants(self, amphora_id: str) -> bool:
        """Whether the heartbeats of an amphora are to be read here: those of strangers are, too."""
        load_balancer_id = self._balancers.get(amphora_id)
        return load_balancer_id is None or self.owns(load_balancer_id)

    def owns(self, load_balancer_id: str) -> bool:
        """Whether this one looks after a load balancer."""
        return self._mute or _bucket(load_balancer_id) in self._since

    def share(self) -> float:
        """How much of all it looks after, from 0 to 1."""
        return len(self._since) / BUCKETS

    def trusts(self, load_balancer_id: str) -> bool:
        """Whether it has done so for long enough to conclude something from silence."""
        since = None if self._mute else self._since.get(_bucket(load_balancer_id))
        return since is not None and self._clock() - since >= self._trusted_after


def _bucket(load_balancer_id: str) -> int:
    return zlib.crc32(load_balancer_id.encode()) % BUCKETS


def _owner(members: Iterable[str], bucket: int) -> str:
    return max(members, key=lambda name: hashlib.blake2b(f"{bucket} {name}".encode(), digest_size=8).digest())
