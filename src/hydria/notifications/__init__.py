"""Notifications on the message bus (contract 7), for whoever follows what becomes of load balancers.

The store says after each commit what it has changed (store/events.py); :mod:`~hydria.notifications.payloads`
puts that into Octavia's words, and :mod:`~hydria.notifications.outbox` sends it from a thread of its own.
Without ``[oslo_messaging_notifications] driver`` there is nothing of this.
"""

from __future__ import annotations

from hydria.notifications.outbox import Outbox, notifier
from hydria.settings import Settings
from hydria.store import Store


def connect(settings: Settings, store: Store) -> Outbox | None:
    """Have notifications sent of what is changed through this store, if the configuration wants any."""
    if not (settings.controller_worker.event_notifications and settings.oslo_messaging_notifications.driver):
        return None
    outbox = Outbox(notifier(settings))
    store.observe(outbox.put)
    return outbox
