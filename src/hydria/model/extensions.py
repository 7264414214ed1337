"""What the API has beyond Octavia's: each of them under a name that clients can look for.

Attributes say which one they belong to where they are declared (:mod:`.resource`); new words of an attribute
that Octavia has are listed here. Octavia's clients see nothing of them: an attribute is in a response only
once somebody has set it. Drivers written for Octavia do not know them, so their providers refuse them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hydria.model.statuses import PolicyAction, RuleType


@dataclass(frozen=True, slots=True)
class Extension:
    """alias: its name for programs. updated: when it last changed. words: values that it adds."""

    alias: str
    name: str
    description: str
    updated: str
    words: tuple[StrEnum, ...] = ()

    def adds(self, value: object) -> bool:
        """Whether the value is one of its words; the same letters may be a word of something else."""
        return any(value is word for word in self.words)


DRAIN_TIMEOUT = Extension(
    "drain-timeout",
    "Drain timeout of pools",
    "How long the connections of a member that is removed, disabled or given the weight 0 may go on.",
    "2026-11-20T00:00:00Z",
)
SLOW_START = Extension(
    "slow-start",
    "Slow start of members",
    "How long a member that comes, or comes back, takes to get its full share of new connections.",
    "2026-11-20T00:00:00Z",
)
L7_RULE_TYPES = Extension(
    "l7-rule-types",
    "More types of L7 rules",
    "L7 rules that look at a request's method, at a parameter of its query, or at its client's address.",
    "2026-11-20T00:00:00Z",
    (RuleType.METHOD, RuleType.QUERY, RuleType.SOURCE_IP),
)
L7_ACTIONS = Extension(
    "l7-actions",
    "More actions of L7 policies",
    "L7 policies that answer requests themselves, or change headers and paths on the way.",
    "2026-11-20T00:00:00Z",
    (PolicyAction.FIXED_RESPONSE, PolicyAction.MODIFY),
)
COMPRESSION = Extension(
    "compression",
    "Compressed answers",
    "Listeners that compress the answers of members for clients that take gzip.",
    "2026-11-20T00:00:00Z",
)
FLOW_LOGS = Extension(
    "flow-logs",
    "Flow logs switched per load balancer",
    "Load balancers of which no flow logs leave, even where the operator collects them.",
    "2026-11-29T00:00:00Z",
)
PRESERVE_SOURCE = Extension(
    "preserve-source",
    "Clients' addresses kept",
    "Pools of UDP and SCTP whose members see the addresses of clients instead of the amphora's.",
    "2026-11-29T00:00:00Z",
)
RATE_LIMIT = Extension(
    "rate-limit",
    "Rate limits of clients",
    "Policies that refuse or hold back what a client sends beyond what a listener allows each of them.",
    "2026-11-29T00:00:00Z",
)
ALL = (
    DRAIN_TIMEOUT,
    SLOW_START,
    L7_RULE_TYPES,
    L7_ACTIONS,
    COMPRESSION,
    FLOW_LOGS,
    PRESERVE_SOURCE,
    RATE_LIMIT,
)
