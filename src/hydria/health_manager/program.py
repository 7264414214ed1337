"""The health manager program."""

from __future__ import annotations

from hydria.drivers.amphora.interface import AmphoraDriver
from hydria.health_manager.receiver import Receiver
from hydria.health_manager.recorder import Recorder
from hydria.health_manager.watch import Watch
from hydria.messages import Wakeups
from hydria.settings import Settings
from hydria.store import Store


class HealthManager:
    """Receiver, recorder and watch together."""

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
        self._receiver = Receiver(host, settings.health_manager.bind_port, key)
        self._recorder = Recorder(store, self._receiver)
        self._watch = Watch(store, driver, wakeups, settings.health_manager)

    def start(self) -> None:
        """Begin to listen, to record and to watch."""
        self._receiver.start()
        self._recorder.start()
        self._watch.start()

    def stop(self) -> None:
        """Stop all three."""
        self._watch.stop()
        self._recorder.stop()
        self._receiver.stop()
