"""Quotas: how many objects of each kind a project may have (contract 1.17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from hydria.model import alphabets, kinds
from hydria.model.errors import QuotaExceeded
from hydria.model.resource import Attribute, Declared, Use, name_of

UNLIMITED = -1
_LARGEST = 2_000_000_000

# Old misspelt names, which requests may use and responses have besides.
ALIASES: Mapping[str, str] = {"load_balancer": "loadbalancer", "health_monitor": "healthmonitor"}


def _limit() -> Attribute:
    # Null, and none at all, is the deployment's default, whatever that may become.
    return Attribute(kind=kinds.Integer(UNLIMITED, _LARGEST))


class Quota(Declared, frozen=True, kw_only=True):
    """What an operator has set for a project; None: the deployment's default."""

    root: ClassVar[str] = "quota"
    plural: ClassVar[str] = "quotas"
    label: ClassVar[str] = "Quotas"
    argument: ClassVar[str] = "quotas"
    table: ClassVar[str] = "quotas"
    key: ClassVar[str] = "project_id"

    project_id: Annotated[str, Attribute(kind=alphabets.PROJECT, create=Use.NEVER, update=False)]
    loadbalancer: Annotated[int | None, _limit()] = None
    listener: Annotated[int | None, _limit()] = None
    member: Annotated[int | None, _limit()] = None
    pool: Annotated[int | None, _limit()] = None
    healthmonitor: Annotated[int | None, _limit()] = None
    l7policy: Annotated[int | None, _limit()] = None
    l7rule: Annotated[int | None, _limit()] = None


# Field -> option of [quotas], in the order in which a fully populated create is counted (contract 1.10).
OPTIONS: Mapping[str, str] = {
    "loadbalancer": "default_load_balancer_quota",
    "pool": "default_pool_quota",
    "healthmonitor": "default_health_monitor_quota",
    "member": "default_member_quota",
    "listener": "default_listener_quota",
    "l7policy": "default_l7policy_quota",
    "l7rule": "default_l7rule_quota",
}


def field_of(resource: type[Declared]) -> str:
    """The quota that objects of this kind count against."""
    return name_of(resource)


def exceeded(resource: type[Declared]) -> QuotaExceeded:
    """The refusal, in the words that clients know."""
    return QuotaExceeded(f"Quota has been met for resources: {resource.label}")
