"""A compute service that builds nothing: whatever is ordered runs, at once or later, in every process.

An instance's id follows from its name. A process that did not order it (another worker, or this one after a
restart) takes it for running until it has deleted it itself. For trials of slow services there are
``[compute_noop] boot_time`` and ``failing``.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Iterable

from hydria.drivers.compute.interface import AmphoraSpec, ComputeStatus, Deletion, Instance, Selection
from hydria.settings import Settings

_NAMESPACE = uuid.UUID("8e0c7a52-5b1f-4a57-9c2b-6f6a2d3c4b18")
_REMEMBERED = 10_000  # deletions


class NoopComputeDriver:
    """Remembers instances; touches nothing."""

    def __init__(self, settings: Settings) -> None:
        self._options = settings.compute_noop
        self._guard = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._booting: dict[str, tuple[float, bool]] = {}  # until when, and whether it fails then
        self._ordered = 0
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
        with self._guard:
            self._deleted.pop(compute_id, None)
            if compute_id not in self._instances:
                self._ordered += 1
                fails = bool(self._options.failing) and self._ordered % self._options.failing == 0
                self._booting[compute_id] = time.monotonic() + self._options.boot_time, fails
                self._instances[compute_id] = Instance(compute_id, spec.name, ComputeStatus.RUNNING, address)
            return self._as_it_is(self._instances[compute_id])

    def find(self, name: str) -> Instance | None:
        """The instance of that name, if it was ordered in this process."""
        with self._guard:
            found = self._instances.get(str(uuid.uuid5(_NAMESPACE, name)))
            return found and self._as_it_is(found)

    def get(self, compute_id: str) -> Instance | None:
        """The instance of that id, unless it was deleted here."""
        with self._guard:
            if compute_id in self._deleted:
                return None
            found = self._instances.get(compute_id)
            return self._as_it_is(found) if found else Instance(compute_id, "", ComputeStatus.RUNNING)

    def delete(self, compute_id: str) -> Deletion:
        """Forget an instance."""
        with self._guard:
            self._instances.pop(compute_id, None)
            self._booting.pop(compute_id, None)
            self._deleted[compute_id] = None
            if len(self._deleted) > _REMEMBERED:
                del self._deleted[next(iter(self._deleted))]
        return Deletion.GONE

    def instances(self) -> Iterable[Instance]:
        """The instances that were ordered in this process."""
        with self._guard:
            return [self._as_it_is(found) for found in self._instances.values()]

    def cleanup(self) -> None:
        """Forget all instances."""
        for instance in self.instances():
            self.delete(instance.compute_id)

    def _as_it_is(self, instance: Instance) -> Instance:
        """An instance with its present status."""
        until, fails = self._booting.get(instance.compute_id, (0.0, False))
        if time.monotonic() < until:
            return dataclasses.replace(instance, status=ComputeStatus.BUILDING)
        if fails:
            fault = "it fails, as [compute_noop] failing says"
            return dataclasses.replace(instance, status=ComputeStatus.ERROR, fault=fault)
        return instance
