"""What Hydria asks of an amphora agent."""

from __future__ import annotations

from typing import ClassVar, Protocol

from hydria.model.amphora import Amphora
from hydria.model.statuses import Topology
from hydria.wire.capabilities import Capabilities
from hydria.wire.state import Applied, DesiredState


class AmphoraDriver(Protocol):
    """The agent in an amphora.

    ``apply`` is idempotent. It raises Refused when the amphora's daemons refuse the state (the previous one
    keeps serving; the text is their reason), Lacking when the state goes on with files that the amphora does
    not have, Outdated when the amphora already has a younger generation, Superseded when it has met a higher
    term, whatever the generation, and Unreachable when nobody answers within
    ``[haproxy_amphora] rest_request_conn_timeout``.
    ``await_ready`` returns once the agent answers, or raises Unreachable after ``timeout`` seconds.
    ``capabilities`` is asked before each state is rendered, for HAProxy may have been upgraded meanwhile;
    it raises Unreachable, too.
    ``alive`` never raises; it is the health manager's last question before it acts.
    ``topologies``: those whose parts the agents can play.
    """

    topologies: ClassVar[frozenset[Topology]]

    def await_ready(self, amphora: Amphora, timeout: float) -> None:
        """Wait for the agent of an amphora that is booting."""

    def capabilities(self, amphora: Amphora) -> Capabilities:
        """What the amphora's HAProxy can do."""

    def apply(self, amphora: Amphora, state: DesiredState) -> Applied:
        """Make the amphora serve this state."""

    def alive(self, amphora: Amphora) -> bool:
        """Whether the agent answers now."""
