"""What the data plane cannot serve yet, refused at the edge instead of ignored.

Each row is one attribute and the values that nothing here renders; serving one of them means removing it from
its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydria.model.resource import Resource


@dataclass(frozen=True, slots=True)
class Row:
    """``refused``: the values of the attribute that cannot be served; none of them: every one that is set."""

    attribute: str
    refused: tuple[object, ...] = ()

    def refusal(self, values: Mapping[str, object]) -> str | None:
        """What of ``values`` cannot be served, as a sentence; None if all of it can."""
        value = values.get(self.attribute)
        if not (value in self.refused if self.refused else value):
            return None
        return f"{self.attribute} '{value}' is not served by the amphora data plane yet."


# Nothing at present.
_TABLE: Mapping[type[Resource], tuple[Row, ...]] = {}


def unsupported(resource: type[Resource], values: Mapping[str, object]) -> str | None:
    """Why the data plane cannot serve an object with these values, None if it can.

    ``values``: field -> canonical value, of a whole object or of a change to one. The sentence is for the 501
    answer "does not support a requested option" (contract 1.5).
    """
    refusals = (row.refusal(values) for row in _TABLE.get(resource, ()))
    return next((refusal for refusal in refusals if refusal is not None), None)
