"""Rules between attributes; one layer for single and fully populated creates.

It stands behind :mod:`hydria.model.resource`, which has parsed each attribute on its own, and before the
store. Every function takes parsed values, returns them completed (defaults that depend on other attributes,
stored forms), leaves its arguments as they are, and raises :class:`~hydria.model.errors.Invalid` in the words
of contract 1.11 to 1.16. ``*_updated`` functions judge the object as it would become, but only in what the
request touches: a rule that the operator has tightened since does not bar unrelated changes.

What needs other rows (uniqueness, existence, quotas) is the store's and the API's matter.
"""

from hydria.model.rules.deployment import OWASP_B, Deployment
from hydria.model.rules.health_monitor import monitor_created, monitor_updated
from hydria.model.rules.l7policy import MOST_RULES, policies_allowed, policy_created, policy_updated
from hydria.model.rules.l7rule import rule_created, rule_updated
from hydria.model.rules.listener import listener_created, listener_updated
from hydria.model.rules.member import member_created, member_updated
from hydria.model.rules.pool import pool_created, pool_fits_listener, pool_updated
from hydria.model.rules.rate_limit import (
    MOST_LIMIT_POLICIES,
    MOST_LIMIT_RULES,
    limit_policy_created,
    limit_policy_updated,
    limit_rule_created,
    limit_rule_updated,
    windows_fit,
)

__all__ = [
    "MOST_LIMIT_POLICIES",
    "MOST_LIMIT_RULES",
    "MOST_RULES",
    "OWASP_B",
    "Deployment",
    "limit_policy_created",
    "limit_policy_updated",
    "limit_rule_created",
    "limit_rule_updated",
    "listener_created",
    "listener_updated",
    "member_created",
    "member_updated",
    "monitor_created",
    "monitor_updated",
    "policies_allowed",
    "policy_created",
    "policy_updated",
    "pool_created",
    "pool_fits_listener",
    "pool_updated",
    "rule_created",
    "rule_updated",
    "windows_fit",
]
