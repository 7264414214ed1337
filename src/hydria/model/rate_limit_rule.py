"""The rate limit rule: how much of what a client may do within which time (contract 4.16)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import alphabets, kinds
from hydria.model.extensions import RATE_LIMIT, Extension
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Resource, Use, internal
from hydria.model.statuses import RateLimitMetric

_DAY = 86_400
_DEFAULT_INTERVAL = 30


class RateLimitRule(Resource, frozen=True, kw_only=True):
    """A limit for each client, by its address, over a window that slides.

    threshold: how much is let through within ``interval`` seconds; 1 of KBYTES is 1024 bytes, both ways.
    urls: the paths that REQUESTS_PER_URL counts, each for itself; other metrics do not look at them.
    """

    root: ClassVar[str] = "rule"
    plural: ClassVar[str] = "rules"
    label: ClassVar[str] = "Rate Limit Rule"
    argument: ClassVar[str] = "ratelimitrule_"
    table: ClassVar[str] = "rate_limit_rules"
    within: ClassVar[str] = "rate_limit_policy_id"
    called: ClassVar[str] = "ratelimitrule"
    extension: ClassVar[Extension | None] = RATE_LIMIT

    # Rules are not enabled one by one: the policy is.
    admin_state_up: Annotated[bool, internal(kinds.Boolean(), shown=False, listed=False, default=True)] = True
    rate_limit_policy_id: Annotated[str, internal(IDENTIFIER, shown=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    name: Annotated[str, TEXT] = ""
    metric: Annotated[
        RateLimitMetric, Attribute(kind=kinds.Choice(RateLimitMetric), create=Use.REQUIRED, null=Null.REFUSE)
    ]
    threshold: Annotated[
        int, Attribute(kind=kinds.Integer(1, 2**31 - 1), create=Use.REQUIRED, null=Null.REFUSE)
    ]
    interval: Annotated[int, Attribute(kind=kinds.Integer(1, _DAY), default=_DEFAULT_INTERVAL)] = (
        _DEFAULT_INTERVAL
    )
    urls: Annotated[
        list[str] | None,
        Attribute(kind=kinds.ListOf(alphabets.PATH, limit=100, empty_is_null=True), null=None, listed=False),
    ] = None
