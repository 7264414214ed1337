"""The rate limit policy: what becomes of clients that break all of the policy's rules (contract 4.16)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.extensions import RATE_LIMIT, Extension
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Resource, Use, internal
from hydria.model.statuses import RateLimitAction


class RateLimitPolicy(Resource, frozen=True, kw_only=True):
    """One of a listener's policies, each of which limits by itself; without rules it limits nobody."""

    root: ClassVar[str] = "ratelimitpolicy"
    plural: ClassVar[str] = "ratelimitpolicies"
    label: ClassVar[str] = "Rate Limit Policy"
    argument: ClassVar[str] = "ratelimitpolicy_"
    table: ClassVar[str] = "rate_limit_policies"
    children: ClassVar[tuple[str, ...]] = ("rules",)
    extension: ClassVar[Extension | None] = RATE_LIMIT

    # The specification's name for what other resources call admin_state_up.
    admin_state_up: Annotated[bool, Attribute(kind=kinds.Boolean(), default=True, null=False, wire="enabled")]
    listener_id: Annotated[str, Attribute(kind=IDENTIFIER, create=Use.REQUIRED, update=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    name: Annotated[str, TEXT] = ""
    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    action: Annotated[
        RateLimitAction, Attribute(kind=kinds.Choice(RateLimitAction), create=Use.REQUIRED, null=Null.REFUSE)
    ]
