"""Wake-ups: "look at load balancer X".

A wake-up carries no work and may be lost: workers also look by themselves. With ``transport_url`` they go
through oslo.messaging (casts, each to one worker); without, they stay within the process.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from hydria.model.errors import Invalid
from hydria.settings import Settings

LOG = logging.getLogger(__name__)
EXCHANGE = "hydria"
TOPIC = "hydria_convergence"

Handler = Callable[[str], None]
_MOST_WAITING = 10_000  # wake-ups; workers find what is beyond by looking


class Wakeups(Protocol):
    """Where wake-ups go."""

    def wake(self, load_balancer_id: str) -> None:
        """Ask any one worker to look at a load balancer; never raises, and never waits."""

    def listen(self, handler: Handler) -> None:
        """Call ``handler`` with the id of each wake-up from now on, from a thread of this object's own."""

    def close(self) -> None:
        """Stop listening and let go of connections."""


def connect(settings: Settings) -> Wakeups:
    """The wake-ups that ``[DEFAULT] transport_url`` names."""
    if settings.DEFAULT.transport_url:
        return MessagingWakeups(settings)
    return LocalWakeups()


def oslo_conf(settings: Settings) -> Any:
    """The configuration as oslo.messaging reads it.

    It registers some of its options on the global object alone, so that is what it gets.
    """
    from oslo_config import cfg  # noqa: PLC0415

    cfg.CONF([], project="hydria", default_config_files=list(settings.config_files), default_config_dirs=[])
    return cfg.CONF


class LocalWakeups:
    """Within one process. oslo.messaging's own in-process transport polls every 50 ms; this does not wait.

    Where nobody in this process listens, workers of other processes find the work by looking.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._heard = False

    def wake(self, load_balancer_id: str) -> None:
        if self._heard:
            self._queue.put(load_balancer_id)

    def listen(self, handler: Handler) -> None:
        self._heard = True
        threading.Thread(target=self._run, args=(handler,), name="wakeups", daemon=True).start()

    def close(self) -> None:
        self._heard = False
        self._queue.put(None)

    def _run(self, handler: Handler) -> None:
        while (load_balancer_id := self._queue.get()) is not None:
            handler(load_balancer_id)


class MessagingWakeups:
    """Through oslo.messaging, imported only here since it is large.

    A thread of its own sends, for a broker that has stopped answering without closing its connections keeps
    a sender for minutes. What waits for it is a set: one wake-up stands for any number of the same.
    """

    def __init__(self, settings: Settings) -> None:
        import oslo_messaging  # noqa: PLC0415

        self._host = settings.controller_name
        self._messaging = oslo_messaging
        try:
            self._transport = oslo_messaging.get_rpc_transport(
                oslo_conf(settings), url=settings.DEFAULT.transport_url
            )
        except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure, ValueError) as error:
            # Without the URL in the message: it holds a password.
            raise Invalid(
                "[DEFAULT] transport_url is not one that oslo.messaging can use"
                f" ({type(error).__name__}); write it like rabbit://user:password@host:5672/."
            ) from error
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=TOPIC)
        self._client = oslo_messaging.get_rpc_client(self._transport, target, retry=0)
        self._server: Any = None
        self._sender = Sender(lambda name: self._client.cast({}, "converge", load_balancer_id=name))

    def wake(self, load_balancer_id: str) -> None:
        self._sender.put(load_balancer_id)

    def listen(self, handler: Handler) -> None:
        target = self._messaging.Target(exchange=EXCHANGE, topic=TOPIC, server=self._host)
        self._server = self._messaging.get_rpc_server(
            self._transport, target, [_Endpoint(handler)], executor="threading"
        )
        threading.Thread(target=self._server.start, name="wakeups", daemon=True).start()

    def close(self) -> None:
        self._sender.close()
        if self._server is not None:
            self._server.stop()
        self._transport.cleanup()


class Sender:
    """Sends wake-ups in the background; those that cannot be sent are dropped."""

    def __init__(self, send: Handler) -> None:
        self._send = send
        self._waiting: dict[str, None] = {}  # a set, in the order of arrival
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failing = False

    def put(self, load_balancer_id: str) -> None:
        """Have a wake-up sent; returns at once."""
        with self._change:
            if len(self._waiting) >= _MOST_WAITING:
                return
            self._waiting[load_balancer_id] = None
            # A server of the API may fork after it was loaded; threads do not come along.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="send-wakeups", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self) -> None:
        """Send nothing more."""
        with self._change:
            self._closed = True
            self._waiting.clear()
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                load_balancer_id = next(iter(self._waiting))
                del self._waiting[load_balancer_id]
            self._try(load_balancer_id)

    def _try(self, load_balancer_id: str) -> None:
        try:
            self._send(load_balancer_id)
        except Exception as error:  # noqa: BLE001  (whatever it is: workers look by themselves)
            if not self._failing:
                LOG.warning("No wake-ups can be sent, workers have to look for work: %s", error)
            self._failing = True
        else:
            if self._failing:
                LOG.info("Wake-ups can be sent again")
            self._failing = False


class _Endpoint:
    """What oslo.messaging calls."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def converge(self, _context: dict[str, object], load_balancer_id: str) -> None:
        self._handler(load_balancer_id)
