"""Objects that URLs have below another one: ``/pools/{pool}/members``, ``/l7policies/{policy}/rules``, ….

Their declarations say by which field (``within``), this says what kind of object the other one is.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared, Resource

PARENTS: Mapping[type[Declared], type[Resource]] = {
    Member: Pool,
    L7Rule: L7Policy,
    RateLimitRule: RateLimitPolicy,
}
