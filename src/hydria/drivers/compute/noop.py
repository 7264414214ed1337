"""A compute service that builds nothing: whatever is ordered runs at once, and in every process.

An instance's id follows from its name. A process that did not order it (another worker, or this one after a
restart) takes it for running until it has deleted it itself.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable

from hydria.drivers.compute.interface import AmphoraSpec, ComputeStatus, Deletion, Instance, Selection
from hydria.settings import Settings

_NAMESPACE = uuid.UUID("8e0c7a52-5b1f-4a57-9c2b-6f6a2d3c4b18")
_REMEMBERED = 10_000  # deletions


class NoopComputeDriver:
    """Remembers instances; touches nothing."""

    def __init__(self, settings: Settings) -> None:  # noqa: ARG002  (every compute driver takes them)
        self._guard = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._deleted: dict[str, None] = {}  # in the order of deletion

    def prepare(self) -> None:
        """Nothing has to be ready."""

    def refusal(self, selection: Selection) -> str:  # noqa: ARG002  (there is nothing it could lack)
        """Nothing is refused."""
        return ""

    def order(self, spec: AmphoraSpec) -> Instance:
        """Remember an instance."""
        address = spec.lb_network.port.addresses[0].address
        compute_id = str(uuid.uuid5(_NAMESPACE, spec.name))
        instance = Instance(compute_id, spec.name, ComputeStatus.RUNNING, address)
        with self._guard:
            self._deleted.pop(compute_id, None)
            return self._instances.setdefault(compute_id, instance)

    def get(self, compute_id: str) -> Instance | None:
        """The instance of that id, unless it was deleted here."""
        with self._guard:
            if compute_id in self._deleted:
                return None
            found = self._instances.get(compute_id)
        return found or Instance(compute_id, "", ComputeStatus.RUNNING)

    def find(self, name: str) -> Instance | None:
        """The instance of that name, if it was ordered in this process."""
        with self._guard:
            return self._instances.get(str(uuid.uuid5(_NAMESPACE, name)))

    def delete(self, compute_id: str) -> Deletion:
        """Forget an instance."""
        with self._guard:
            self._instances.pop(compute_id, None)
            self._deleted[compute_id] = None
            if len(self._deleted) > _REMEMBERED:
                del self._deleted[next(iter(self._deleted))]
        return Deletion.GONE

    def instances(self) -> Iterable[Instance]:
        """The instances that were ordered in this process."""
        with self._guard:
            return list(self._instances.values())

    def cleanup(self) -> None:
        """Forget all instances."""
        for instance in self.instances():
            self.delete(instance.compute_id)
