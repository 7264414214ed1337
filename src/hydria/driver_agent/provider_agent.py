"""What runs in the process of a provider agent; see provider_agents for who starts it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from importlib import metadata
from multiprocessing import connection
from multiprocessing.synchronize import Event

LOG = logging.getLogger(__name__)
NAMESPACE = "octavia.driver_agent.provider_agents"


def run(name: str, exit_event: Event, level: int, seconds: float) -> None:
    """Call the provider agent's function with the event that it is to end at.

    The event is also set by SIGTERM, which a service manager sends to every process of a service, and when
    the driver agent has died: then nobody else could, and a second one would be started beside this one.
    """
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the driver agent passes it on

    def ask(_number: int, _frame: object) -> None:
        # In a thread, for the main one may be holding the event's lock just now.
        threading.Thread(target=exit_event.set, daemon=True).start()

    signal.signal(signal.SIGTERM, ask)
    threading.Thread(target=_outlive_nobody, args=(exit_event, seconds), daemon=True).start()
    for found in metadata.entry_points(group=NAMESPACE, name=name):
        found.load()(exit_event)
        return


def _outlive_nobody(exit_event: Event, seconds: float) -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    LOG.warning("The driver agent has died, and this provider agent ends")
    exit_event.set()
    threading.Event().wait(seconds)
    os._exit(1)
