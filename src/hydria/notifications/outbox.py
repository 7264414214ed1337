"""Notifications on their way out: best effort, in order, and never in anybody's way.

They wait in memory for a thread that hands them to oslo.messaging, so that neither a request nor a pass ever
waits for the broker. While it is away, oslo.messaging tries as often as ``[oslo_messaging_notifications]
retry`` says (for ever by default), and what comes meanwhile waits, up to a bound. A process that is killed
takes what waits with it: whoever needs the whole truth reads the API, and notifications tell when.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hydria import messages
from hydria.model.errors import Invalid
from hydria.notifications.payloads import SERVICE, Notification, notification
from hydria.settings import Settings
from hydria.store.events import Event

LOG = logging.getLogger(__name__)
Send = Callable[[Notification], None]
_MOST_WAITING = 20_000
_LAST_WORDS = 2.0  # seconds that the end of a process waits for what is still to be sent


class Outbox:
    """Sends what it is given through ``send``."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: deque[Event] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._sending = False
        self._closed = False
        self._lost = 0

    def put(self, events: Sequence[Event]) -> None:
        """Have notifications sent; returns at once, and drops what is too much."""
        with self._change:
            if self._closed:
                return
            room = _MOST_WAITING - len(self._waiting)
            self._waiting.extend(events[:room] if room > 0 else ())
            if len(events) > room:
                self._lose(len(events) - max(room, 0))
            # A server of the API may fork after it was loaded; threads do not come along.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._change.notify_all()

    def close(self, patience: float = _LAST_WORDS) -> None:
        """Take in nothing more, and wait a moment for what is still to be sent."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            if not self._change.wait_for(lambda: not (self._waiting or self._sending), patience):
                LOG.warning("%d notifications were not sent before the end", len(self._waiting) + 1)
                self._waiting.clear()

    def _lose(self, number: int) -> None:
        if not self._lost:
            LOG.warning(
                "%d notifications wait to be sent: new ones are dropped until they are", _MOST_WAITING
            )
        self._lost += number

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                event = self._waiting.popleft()
                self._sending = True
                if self._lost and len(self._waiting) < _MOST_WAITING // 2:
                    LOG.warning("%d notifications were dropped; they are sent again from now on", self._lost)
                    self._lost = 0
            try:
                self._try(event)
            finally:
                with self._change:
                    self._sending = False
                    self._change.notify_all()

    def _try(self, event: Event) -> None:
        try:
            self._send(notification(event))
        except Exception:
            LOG.exception("A notification (%s of %s) was not sent", event.what, event.identifier)


def notifier(settings: Settings) -> Send:
    """oslo.messaging's notifier, with Octavia's publisher id."""
    import oslo_messaging  # noqa: PLC0415  (large, and rarely wanted)
    from oslo_context.context import RequestContext  # noqa: PLC0415

    conf, options = messages.oslo_conf(settings), settings.oslo_messaging_notifications
    try:
        transport = oslo_messaging.get_notification_transport(
            conf, url=options.transport_url or settings.DEFAULT.transport_url or None
        )
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure, ValueError) as error:
        # Without the URL in the message: it holds a password.
        raise Invalid(
            "[oslo_messaging_notifications] transport_url is not one that oslo.messaging can use"
            f" ({type(error).__name__}); write it like rabbit://user:password@host:5672/."
        ) from error
    made = oslo_messaging.Notifier(
        transport, publisher_id=SERVICE, driver=_driver(settings, conf), serializer=_Serializer()
    )

    if made.retry is not None and made.retry < 0:
        # For ever, in the one way that its RabbitMQ driver takes it for new connections, too.
        made.retry = None

    def send(notice: Notification) -> None:
        context = RequestContext(
            project_id=notice.project_id, request_id=notice.request_id or None, overwrite=False
        )
        tell = made.error if notice.priority == "error" else made.info
        tell(context, notice.event_type, notice.payload)

    return send


def _driver(settings: Settings, conf: Any) -> str | None:
    """None where oslo.messaging reads from the configuration files which; there may be several."""
    try:
        configured = conf.oslo_messaging_notifications.driver
    except AttributeError:
        configured = []
    return None if configured else settings.oslo_messaging_notifications.driver[0]


class _Serializer:
    """What oslo.messaging asks of one: payloads are plain already."""

    def serialize_entity(self, _context: object, entity: object) -> object:
        return entity

    def serialize_context(self, context: Any) -> dict[str, object]:
        return dict(context.to_dict()) if hasattr(context, "to_dict") else dict(context)
