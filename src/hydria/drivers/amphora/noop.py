"""An amphora agent that is not there: everything is applied, and everybody is well."""

from __future__ import annotations

import threading

from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.model.amphora import Amphora
from hydria.model.errors import Outdated, Superseded
from hydria.model.statuses import Topology
from hydria.settings import Settings
from hydria.wire import capabilities
from hydria.wire.capabilities import Capabilities
from hydria.wire.state import Applied, DesiredState


class NoopAmphoraDriver:
    """Remembers, of each amphora, the generation that it was given last, and the highest term."""

    topologies = frozenset(Topology)

    def __init__(self, settings: Settings, authority: CertificateAuthority) -> None:  # noqa: ARG002  (as every one)
        self._guard = threading.Lock()
        self._generations: dict[str, int] = {}
        self._terms: dict[str, int] = {}

    def await_ready(self, amphora: Amphora, timeout: float) -> None:
        """It is ready."""

    def capabilities(self, amphora: Amphora) -> Capabilities:  # noqa: ARG002  (as every one)
        """Nothing beyond what every HAProxy can do."""
        return capabilities.NONE

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        """Take note. Raises Superseded when it has met a higher term, Outdated when it is younger."""
        with self._guard:
            term = self._terms.get(amphora.id, 0)
            if state.term < term:
                raise Superseded(f"Amphora {amphora.id} has met term {term}, {state.term} is over.", term)
            self._terms[amphora.id] = state.term
            present = self._generations.get(amphora.id, 0)
            if state.generation < present:
                raise Outdated(
                    f"Amphora {amphora.id} has generation {present}, younger than {state.generation}.",
                    present,
                )
            self._generations[amphora.id] = state.generation
        return Applied(state.generation, reloaded=state.generation != present)

    def alive(self, amphora: Amphora) -> bool:  # noqa: ARG002  (as every one)
        """It is."""
        return True
