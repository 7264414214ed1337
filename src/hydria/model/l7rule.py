"""The L7 rule: one condition of an L7 policy (contract 1.16)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.resource import IDENTIFIER, Attribute, Null, Recalled, Use, internal
from hydria.model.statuses import CompareType, RuleType

# What of these texts a rule takes depends on its type (rules/l7rule.py).
_TEXT = kinds.Text(tabs=True)


class L7Rule(Recalled, frozen=True, kw_only=True):
    """A comparison with a part of the request; ``invert`` turns its result round."""

    root: ClassVar[str] = "rule"
    plural: ClassVar[str] = "rules"
    label: ClassVar[str] = "L7 Rule"
    argument: ClassVar[str] = "rule_"
    argument_on_update: ClassVar[str] = "l7rule_"
    table: ClassVar[str] = "l7rules"
    within: ClassVar[str] = "l7policy_id"
    called: ClassVar[str] = "l7rule"

    l7policy_id: Annotated[str, internal(IDENTIFIER, shown=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    type: Annotated[RuleType, Attribute(kind=kinds.Choice(RuleType), create=Use.REQUIRED, null=Null.REFUSE)]
    compare_type: Annotated[
        CompareType, Attribute(kind=kinds.Choice(CompareType), create=Use.REQUIRED, null=Null.REFUSE)
    ]
    # The header, cookie or field of a distinguished name that is compared.
    key_name: Annotated[str | None, Attribute(kind=_TEXT, null=None, wire="key", provider="key")] = None
    value: Annotated[str, Attribute(kind=_TEXT, create=Use.REQUIRED, null=Null.REFUSE)]
    invert: Annotated[bool, Attribute(kind=kinds.Boolean(), default=False)] = False
