"""Writes down that amphorae were heard of, before anything that they say is looked at."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from hydria.health_manager.receiver import Received, Receiver
from hydria.health_manager.sharing import Sharing
from hydria.messages import Wakeups
from hydria.model.errors import Unavailable
from hydria.store import Store, heartbeats
from hydria.store.heartbeats import Beat

LOG = logging.getLogger(__name__)
_BATCH = 250  # amphorae whose heartbeats are written in one statement
_ASK_AGAIN = 2.0  # seconds until an amphora that nobody watches is looked up again
_COMPLAIN_EVERY = 10.0  # seconds between log lines about heartbeats that say nothing new


class Recorder:
    """Records every quarter of a second who was heard of since; nothing else holds it up.

    ``forward`` gets the reports that are no replays, for their statuses and counters. A booting amphora has
    its load balancer looked at: nobody waits for its boot.
    """

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        wakeups: Wakeups,
        sharing: Sharing,
        forward: Callable[[Sequence[Received]], None],
        interval: float = 0.25,
    ) -> None:
        self._store = store
        self._receiver = receiver
        self._wakeups = wakeups
        self._sharing = sharing
        self._forward = forward
        self._interval = interval
        self._unknown: dict[str, float] = {}  # amphora id -> when it was looked up last
        self._complained = -_COMPLAIN_EVERY
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record-heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self) -> None:
        """Record no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            received = self._receiver.take()
            for batch in _batches(received):
                try:
                    self._forward(self.record(batch))
                except Unavailable as error:
                    # The next heartbeats say the same again: counters are absolute.
                    LOG.warning("%d heartbeats not recorded: %s", len(batch), error)
                except Exception:
                    LOG.exception(
                        "%d heartbeats not recorded together; trying each amphora's apart", len(batch)
                    )
                    self._forward(self.record_apart(batch))

    def record_apart(self, received: Iterable[Received]) -> list[Received]:
        """Record amphora by amphora: what cannot be recorded of one must not silence the others."""
        news: list[Received] = []
        for amphora_id, items in _by_amphora(received).items():
            try:
                news += self.record(items)
            except Exception:
                LOG.exception("Heartbeats of amphora %s not recorded", amphora_id)
        return news

    def record(self, received: Iterable[Received]) -> list[Received]:
        """Record these heartbeats; those that are not older than what anybody has recorded, and of amphorae
        that serve.
        """
        by_amphora = _by_amphora(received)
        newest = {
            amphora_id: max((_beat(item) for item in items), key=lambda beat: beat.order)
            for amphora_id, items in by_amphora.items()
        }
        known = self._store.transact(lambda tx: heartbeats.record(tx, newest))
        self._look_up([amphora_id for amphora_id in newest if amphora_id not in known])
        news: list[Received] = []
        old = 0
        for amphora_id, heard in known.items():
            if heard.load_balancer_id is None:
                continue  # not in service any more, so it says nothing about anything
            self._sharing.learn(amphora_id, heard.load_balancer_id)
            # As old as the last one is the next part of a large report, and what another manager recorded.
            order = (heard.epoch, heard.sequence)
            fresh = [item for item in by_amphora[amphora_id] if _beat(item).order >= order]
            old += len(by_amphora[amphora_id]) - len(fresh)
            if self._sharing.owns(heard.load_balancer_id):
                news += fresh
        self._complain(old)
        return news

    def _look_up(self, amphora_ids: Iterable[str]) -> None:
        """Wake the load balancers of those that boot."""
        now = time.monotonic()
        ask = [name for name in amphora_ids if now - self._unknown.get(name, -_ASK_AGAIN) >= _ASK_AGAIN]
        if not ask:
            return
        with self._store.read() as tx:
            booting = heartbeats.booting(tx, ask)
        self._unknown = {name: at for name, at in self._unknown.items() if now - at < _ASK_AGAIN}
        self._unknown |= dict.fromkeys(ask, now)
        for amphora_id, load_balancer_id in booting.items():
            self._sharing.learn(amphora_id, load_balancer_id)
            if self._sharing.owns(load_balancer_id):
                self._wakeups.wake(load_balancer_id)

    def _complain(self, old: int) -> None:
        if old and time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            LOG.warning(
                "%d heartbeats are older than what is recorded already: repeated, replayed, or late.", old
            )


def _beat(item: Received) -> Beat:
    return Beat(item.at, item.report.epoch, item.report.sequence)


def _by_amphora(received: Iterable[Received]) -> dict[str, list[Received]]:
    found: dict[str, list[Received]] = {}
    for item in received:
        found.setdefault(item.report.amphora_id, []).append(item)
    return found


def _batches(received: Iterable[Received]) -> Iterable[list[Received]]:
    """All heartbeats of an amphora are in one batch."""
    groups = list(_by_amphora(received).values())
    for start in range(0, len(groups), _BATCH):
        yield [item for group in groups[start : start + _BATCH] for item in group]
