"""The health manager program."""

from __future__ import annotations

import socket

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.health_manager.evaluator import Evaluator
from hydria.health_manager.failure_detector import FailureDetector
from hydria.health_manager.receiver import Receiver
from hydria.health_manager.recorder import Recorder
from hydria.health_manager.sharing import Sharing
from hydria.messages import Wakeups
from hydria.settings import Settings
from hydria.store import Store


class HealthManager:
    """All parts together. ``host`` is where it listens, ``key`` what amphorae's keys are derived from."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        driver: AmphoraDriver,
        wakeups: Wakeups,
        *,
        host: str,
        key: str,
    ) -> None:
        options = settings.health_manager
        receiver = Receiver(host, options.bind_port, key)
        self._receiver = receiver
        self._sharing = Sharing(
            store,
            f"{settings.DEFAULT.host or socket.gethostname()} {host}:{options.bind_port}",
            interval=options.heartbeat_interval,
            trusted_after=options.heartbeat_timeout,
            heard_at=lambda: receiver.heard_at,
        )
        receiver.wanted = self._sharing.wants
        self._evaluator = Evaluator(store, wakeups, patience=options.heartbeat_timeout)
        self._recorder = Recorder(store, receiver, wakeups, self._sharing, self._evaluator.put)
        self._detector = FailureDetector(
            store,
            driver,
            wakeups,
            options,
            heard=receiver.last,
            trusts=self._sharing.trusts,
            share=self._sharing.share,
        )

    def start(self) -> None:
        """Begin to listen, to record and to look for silent amphorae."""
        self._receiver.start()
        self._sharing.start()
        self._recorder.start()
        self._evaluator.start()
        self._detector.start()

    def stop(self) -> None:
        """Stop all of it."""
        self._detector.stop()
        self._recorder.stop()
        self._evaluator.stop()
        self._receiver.stop()
        self._sharing.stop()
