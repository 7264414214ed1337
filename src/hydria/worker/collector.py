"""Deletes amphorae that could not be deleted at once: their host is gone, or their service takes its time.

They are cut off from the VIP already, so nobody waits for this, and their load balancers may be gone by then.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from hydria.model.amphora import Amphora
from hydria.model.errors import HydriaError, Unavailable
from hydria.planner.convergence import retry_delay
from hydria.store import collection, rows
from hydria.worker.steps import end
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)
_AT_ONCE = 4
_INITIAL, _LONGEST = 5.0, 3600.0  # seconds between tries
# Seconds that one try may take at most before another worker tries, too.
_HOLD = 600.0
# So often it fails before an operator has to know.
WORRYING = 5


class Collector:
    """Looks every ``interval`` seconds for amphorae whose deletion is due, in all of the deployment."""

    def __init__(self, tools: Tools, interval: float) -> None:
        self._tools = tools
        self._interval = interval
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="collect")
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; deletions that are under way go on until their service answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._tools.stopping.wait(self._interval):
            try:
                self.look()
            except Unavailable as error:
                LOG.warning("No look for amphorae to be deleted: %s", error)
            except Exception:
                if self._tools.stopping.is_set():
                    return  # its threads take nothing on any more
                LOG.exception("The look for amphorae to be deleted broke off")

    def look(self) -> int:
        """Try what is due now; how many of them are gone."""
        hold = timedelta(seconds=_HOLD)
        due = self._tools.store.transact(lambda tx: collection.claim(tx, rows.now(), hold, _AT_ONCE))
        return sum(self._threads.map(self._collect, due))

    def _collect(self, amphora: Amphora) -> bool:
        """Try to delete one amphora; whether it is gone."""
        attempts = amphora.collect_attempts + 1
        try:
            reason = end.remove(self._tools, amphora)
        except HydriaError as error:
            reason = str(error)
        except Exception:
            LOG.exception("Amphora %s could not be deleted", amphora.id)
            reason = "an unexpected error, which the log has."
        if not reason:
            self._tools.store.transact(lambda tx: end.mark_deleted(tx, amphora.id))
            LOG.info("Amphora %s is deleted, at try %d", amphora.id, attempts)
            return True
        delay = retry_delay(attempts, _INITIAL, _LONGEST)
        when = rows.now() + timedelta(seconds=delay)
        self._tools.store.transact(lambda tx: collection.postpone(tx, amphora.id, when, attempts=attempts))
        level = logging.WARNING if attempts >= WORRYING else logging.INFO
        LOG.log(
            level,
            "Amphora %s is not deleted (try %d, next in %.0f s): %s",
            amphora.id,
            attempts,
            delay,
            reason,
        )
        return False
