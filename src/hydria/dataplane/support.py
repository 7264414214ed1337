"""What the data plane cannot serve yet, refused at the edge instead of ignored.

Each row is one attribute and the values that nothing here renders; serving one of them means removing it from
its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ListenerProtocol, MonitorType, PoolProtocol


@dataclass(frozen=True, slots=True)
class Row:
    """``refused``: the values of the attribute that cannot be served; none of them: every one that is set.

    ``key`` looks into an attribute that is a mapping or a record.
    """

    attribute: str
    refused: tuple[object, ...] = ()
    key: str = ""

    def refusal(self, values: Mapping[str, object]) -> str | None:
        """What of ``values`` cannot be served, as a sentence; None if all of it can."""
        value = values.get(self.attribute)
        if self.key:
            value = value.get(self.key) if isinstance(value, Mapping) else getattr(value, self.key, None)
            value = value.lower() if isinstance(value, str) else value  # of a header, "True" is "true"
        if not (value in self.refused if self.refused else value):
            return None
        name = f"{self.attribute} {self.key}".strip()
        return f"{name} '{value}' is not served by the amphora data plane yet."


_TABLE: Mapping[type[Resource], tuple[Row, ...]] = {
    Listener: (
        Row(
            "protocol",
            (ListenerProtocol.UDP, ListenerProtocol.SCTP),
        ),
    ),
    Pool: (
        Row("protocol", (PoolProtocol.UDP, PoolProtocol.SCTP)),
        Row("session_persistence", key="persistence_timeout"),
        Row("session_persistence", key="persistence_granularity"),
    ),
    HealthMonitor: (Row("type", (MonitorType.PING, MonitorType.UDP_CONNECT, MonitorType.SCTP)),),
    L7Policy: (Row("action"),),
}


def unsupported(resource: type[Resource], values: Mapping[str, object]) -> str | None:
    """Why the data plane cannot serve an object with these values, None if it can.

    ``values``: field -> canonical value, of a whole object or of a change to one. The sentence is for the 501
    answer "does not support a requested option" (contract 1.5).
    """
    refusals = (row.refusal(values) for row in _TABLE.get(resource, ()))
    return next((refusal for refusal in refusals if refusal is not None), None)
