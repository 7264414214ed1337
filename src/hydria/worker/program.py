"""The worker program: wake-ups and its own looks in, passes out."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hydria.messages import Wakeups
from hydria.model.errors import HydriaError, Unavailable
from hydria.processes import has_died
from hydria.store import leases, rows, trees
from hydria.worker.collector import Collector
from hydria.worker.converger import Converger, Outcome, Result
from hydria.worker.leasekeeper import LeaseKeeper
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)
_AT_ONCE = 100  # load balancers that one look can find
# What did nothing to the load balancer is no news.
_LEVELS = {Result.FAILED: logging.WARNING, Result.DONE: logging.INFO, Result.AGAIN: logging.INFO}


class Worker:
    """Converges load balancers, several at a time, each by one thread."""

    def __init__(self, tools: Tools, wakeups: Wakeups) -> None:
        self._tools = tools
        self._wakeups = wakeups
        settings = tools.settings
        self._owner = settings.controller_name
        self._keeper = LeaseKeeper(tools.store, settings.controller_worker.lease_seconds)
        self._converger = Converger(tools, self._owner, self._keeper)
        self._collector = Collector(tools, settings.controller_worker.poll_interval)
        self._threads = ThreadPoolExecutor(settings.controller_worker.workers, thread_name_prefix="converge")
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        # Nothing of ours ever lies further ahead than half of it.
        self._horizon = 2 * max(
            settings.controller_worker.lease_seconds, settings.controller_worker.retry_max
        )
        self._stopped = tools.stopping  # passes that wait for something see it, too
        self._looker = threading.Thread(target=self._look_for_work, name="look-for-work", daemon=True)

    def start(self) -> None:
        """Free the leases of dead programs of this host, then listen and look."""
        self._release_dead()
        self._keeper.start()
        self._threads.submit(self._converger.warm_up)
        self._wakeups.listen(self.submit)
        self._looker.start()
        self._collector.start()

    def stop(self) -> None:
        """Take on nothing new, and finish what is running: as long as an agent may take to answer, at most.

        What boots meanwhile is left to other workers.
        """
        self._stopped.set()
        self._collector.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._keeper.stop()

    def submit(self, load_balancer_id: str) -> None:
        """Have a thread look at a load balancer, unless one is going to anyway."""
        with self._lock:
            if load_balancer_id in self._waiting or self._stopped.is_set():
                return
            self._waiting.add(load_balancer_id)
            with suppress(RuntimeError):  # the worker has just been stopped
                self._threads.submit(self._work, load_balancer_id)

    def _work(self, load_balancer_id: str) -> None:
        with self._lock:
            self._waiting.discard(load_balancer_id)
        try:
            outcome = self._converger.converge(load_balancer_id)
        except Exception:
            LOG.exception("Load balancer %s: the pass broke off", load_balancer_id)
            return
        self._log(load_balancer_id, outcome)
        if outcome.result is Result.AGAIN:
            self.submit(load_balancer_id)

    @staticmethod
    def _log(load_balancer_id: str, outcome: Outcome) -> None:
        level = _LEVELS.get(outcome.result, logging.DEBUG)
        LOG.log(level, "Load balancer %s: %s", load_balancer_id, outcome.sentence)

    def _look_for_work(self) -> None:
        interval = min(
            self._tools.settings.controller_worker.poll_interval,
            self._tools.settings.controller_worker.retry_initial,
        )
        while not self._stopped.is_set():
            self._keep_networks()
            try:
                for load_balancer_id in self._due():
                    self.submit(load_balancer_id)
            except Unavailable as error:
                LOG.warning("No look for work: %s", error)
            except Exception:
                # Without this thread work that no message announced would wait for ever.
                LOG.exception("No look for work")
            self._stopped.wait(interval)

    def _keep_networks(self) -> None:
        try:
            self._tools.network.keep()
        except HydriaError as error:
            LOG.warning("The networks are not as they should be: %s", error)
        except Exception:
            LOG.exception("The networks are not as they should be")

    def _due(self) -> list[str]:
        with self._tools.store.read() as tx:
            return trees.due(tx, time.time(), rows.now(), _AT_ONCE, self._horizon)

    def _release_dead(self) -> None:
        """Free leases whose owner is certain to be dead; others are free when their time is over."""
        freed = self._tools.store.transact(lambda tx: leases.release_where(tx, has_died))
        if freed:
            LOG.info("%d leases of dead workers on this host freed", freed)
