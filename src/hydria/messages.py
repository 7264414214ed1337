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

from hydria.settings import Settings

LOG = logging.getLogger(__name__)
EXCHANGE = "hydria"
TOPIC = "hydria_convergence"

Handler = Callable[[str], None]


class Wakeups(Protocol):
    """Where wake-ups go."""

    def wake(self, load_balancer_id: str) -> None:
        """Ask any one worker to look at a load balancer; never raises, and never waits for long."""

    def listen(self, handler: Handler) -> None:
        """Call ``handler`` with the id of each wake-up from now on, from a thread of this object's own."""

    def close(self) -> None:
        """Stop listening and let go of connections."""


def connect(settings: Settings) -> Wakeups:
    """The wake-ups that ``[DEFAULT] transport_url`` names."""
    if settings.DEFAULT.transport_url:
        return MessagingWakeups(settings)
    return LocalWakeups()


class LocalWakeups:
    """Within one process. oslo.messaging's own in-process transport polls every 50 ms; this does not wait."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def wake(self, load_balancer_id: str) -> None:
        self._queue.put(load_balancer_id)

    def listen(self, handler: Handler) -> None:
        threading.Thread(target=self._run, args=(handler,), name="wakeups", daemon=True).start()

    def close(self) -> None:
        self._queue.put(None)

    def _run(self, handler: Handler) -> None:
        while (load_balancer_id := self._queue.get()) is not None:
            handler(load_balancer_id)


class MessagingWakeups:
    """Through oslo.messaging, imported only here since it is large."""

    def __init__(self, settings: Settings) -> None:
        import oslo_messaging  # noqa: PLC0415
        from oslo_config import cfg  # noqa: PLC0415

        self._messaging = oslo_messaging
        self._host = settings.controller_name
        # oslo.messaging registers some of its options on the global object alone, so that is what it gets.
        cfg.CONF(
            [], project="hydria", default_config_files=list(settings.config_files), default_config_dirs=[]
        )
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=settings.DEFAULT.transport_url)
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=TOPIC)
        self._client = oslo_messaging.get_rpc_client(self._transport, target, retry=0)
        self._server: Any = None

    def wake(self, load_balancer_id: str) -> None:
        try:
            self._client.cast({}, "converge", load_balancer_id=load_balancer_id)
        except self._messaging.MessagingException as error:
            # Workers look by themselves within [controller_worker] poll_interval.
            LOG.warning("No wake-up for load balancer %s: %s", load_balancer_id, error)

    def listen(self, handler: Handler) -> None:
        target = self._messaging.Target(exchange=EXCHANGE, topic=TOPIC, server=self._host)
        self._server = self._messaging.get_rpc_server(
            self._transport, target, [_Endpoint(handler)], executor="threading"
        )
        threading.Thread(target=self._server.start, name="wakeups", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._transport.cleanup()


class _Endpoint:
    """What oslo.messaging calls."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def converge(self, _context: dict[str, object], load_balancer_id: str) -> None:
        self._handler(load_balancer_id)
