"""The worker program: wake-ups and its own looks in, passes out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hydria.messages import Wakeups
from hydria.model.errors import Busy, HydriaError, Unavailable
from hydria.processes import has_died
from hydria.store import leases
from hydria.store.leases import Lease
from hydria.worker.claims import Claims
from hydria.worker.collector import Collector
from hydria.worker.converger import Converger, Outcome, Result
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)
_MOST_WOKEN = 100  # load balancers that wait for a thread
_END_OF_LOOK = 2.0  # seconds
_STUCK = 3.0  # seconds without the end of a pass, after which a free thread is not to be counted on
# What did nothing to the load balancer is no news.
_LEVELS = {Result.FAILED: logging.WARNING, Result.DONE: logging.INFO, Result.AGAIN: logging.INFO}


class Worker:
    """Converges load balancers, several at a time, each by one thread.

    A wake-up is a visit that takes the lease when its turn comes, if there is work by then. What the worker
    finds by itself it claims first, so that other workers take something else; as much as begins soon. Where
    all threads are busy with what takes long, it gives back what waits behind that.
    """

    def __init__(self, tools: Tools, wakeups: Wakeups) -> None:
        self._tools = tools
        self._wakeups = wakeups
        settings = tools.settings
        options = settings.controller_worker
        self._owner = settings.controller_name
        self._keeper = LeaseKeeper(tools.store, options.lease_seconds)
        self._converger = Converger(tools, self._owner, self._keeper)
        self._collector = Collector(tools, options.poll_interval)
        self._threads = ThreadPoolExecutor(options.workers, thread_name_prefix="converge")
        # Nothing of ours ever lies further ahead than half of it.
        horizon = 2 * max(options.lease_seconds, options.retry_max)
        self._claims = Claims(tools.store, self._owner, options.lease_seconds, horizon)
        self._most = options.workers  # threads, and what may wait for them
        self._claimed: dict[str, Lease] = {}  # that no thread has begun with
        self._waiting: set[str] = set()  # woken, and no thread has begun with
        self._running = 0
        self._ended = 0.0  # when a pass did last, or the program began
        self._lock = threading.Lock()
        self._stopped = tools.stopping  # passes that wait for something see it, too
        self._room = threading.Event()  # set when there may be more to claim, and threads for it
        self._looker = threading.Thread(target=self._look_for_work, name="look-for-work", daemon=True)

    def start(self) -> None:
        """Free the leases of dead programs of this host, then listen and look."""
        self._release_dead()
        self._ended = time.monotonic()
        self._keeper.start()
        self._threads.submit(self._converger.warm_up)
        self._wakeups.listen(self.submit)
        self._looker.start()
        self._collector.start()

    def stop(self) -> None:
        """Take on nothing new, and finish what is running: as long as an agent may take to answer, at most.

        What boots meanwhile is left to other workers, and so is what was only claimed.
        """
        self._stopped.set()
        self._room.set()
        self._collector.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._looker.is_alive():
            self._looker.join(_END_OF_LOOK)
        with self._lock:
            unused, self._claimed = self._claimed, {}
        self._keeper.put_back(unused.values())
        self._keeper.stop()

    def submit(self, load_balancer_id: str) -> None:
        """Have a thread look at a load balancer, unless one is going to anyway."""
        with self._lock:
            if self._stopped.is_set() or load_balancer_id in self._waiting | self._claimed.keys():
                return
            if len(self._waiting) >= _MOST_WOKEN:
                return  # it waits for a look, with those that have waited longer
            self._waiting.add(load_balancer_id)
            with suppress(RuntimeError):  # the worker has just been stopped
                self._threads.submit(self._visit, load_balancer_id)

    def _visit(self, load_balancer_id: str) -> None:
        """See to a load balancer that somebody was woken for."""
        with self._lock:
            self._waiting.discard(load_balancer_id)
            self._running += 1
        self._work(load_balancer_id, lambda: self._converger.converge(load_balancer_id))

    def _begin(self, lease: Lease) -> None:
        """Go on with what is claimed."""
        with self._lock:
            if self._claimed.get(lease.load_balancer_id) != lease:
                return  # it was put back, and maybe claimed anew
            del self._claimed[lease.load_balancer_id]
            self._running += 1
        self._work(lease.load_balancer_id, lambda: self._converger.carry_on(lease))

    def _work(self, load_balancer_id: str, work: Callable[[], Outcome]) -> None:
        try:
            outcome = work()
        except Exception:
            LOG.exception("Load balancer %s: the pass broke off", load_balancer_id)
            return
        finally:
            self._make_room()
        self._log(load_balancer_id, outcome)
        if outcome.result is Result.AGAIN:
            self.submit(load_balancer_id)

    def _make_room(self) -> None:
        """Have more claimed before threads run out of it."""
        with self._lock:
            self._running -= 1
            self._ended = time.monotonic()
            few = len(self._claimed) <= self._most // 2
        if few and self._claims.more:
            self._room.set()

    @staticmethod
    def _log(load_balancer_id: str, outcome: Outcome) -> None:
        level = _LEVELS.get(outcome.result, logging.DEBUG)
        LOG.log(level, "Load balancer %s: %s", load_balancer_id, outcome.sentence)

    def _look_for_work(self) -> None:
        options = self._tools.settings.controller_worker
        interval = min(options.poll_interval, options.retry_initial)
        kept = -interval
        while not self._stopped.is_set():
            if time.monotonic() >= kept + interval:
                self._keep_networks()
                kept = time.monotonic()
            try:
                self._claim()
            except (Unavailable, Busy) as error:
                LOG.warning("No look for work: %s", error)
            except Exception:
                # Without this thread work that no message announced would wait for ever.
                LOG.exception("No look for work")
            self._room.wait(interval)
            self._room.clear()

    def _claim(self) -> None:
        """Take on what threads can begin soon."""
        stuck: dict[str, Lease] = {}
        with self._lock:
            room = max(0, self._most - self._running - len(self._waiting))
            if time.monotonic() < self._ended + _STUCK:
                room += self._most
            if not room:
                stuck, self._claimed = self._claimed, {}
            room -= len(self._claimed)
        if stuck:
            self._keeper.put_back(stuck.values())
        if room <= 0:
            return
        taken = self._claims.take(room)
        self._keeper.hold(taken)
        with self._lock:
            if not self._stopped.is_set():
                for lease in taken:
                    self._claimed[lease.load_balancer_id] = lease
                    with suppress(RuntimeError):  # the worker has just been stopped
                        self._threads.submit(self._begin, lease)
                return
        self._keeper.put_back(taken)

    def _keep_networks(self) -> None:
        try:
            self._tools.network.keep()
        except HydriaError as error:
            LOG.warning("The networks are not as they should be: %s", error)
        except Exception:
            LOG.exception("The networks are not as they should be")

    def _release_dead(self) -> None:
        """Free leases whose owner is certain to be dead; others are free when their time is over."""
        freed = self._tools.store.transact(lambda tx: leases.release_where(tx, has_died))
        if freed:
            LOG.info("%d leases of dead workers on this host freed", freed)
