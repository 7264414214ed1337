"""The changing half of the API: POST, PUT and DELETE on the desired state (design section 2).

A change is one transaction: the load balancer locked, the request judged by the rules of the model, the rows
written with the load balancer's next generation, and, last, the provider called. After the commit a worker is
woken. One module per resource, each with ``create``, ``update`` and ``delete``; endpoints call them through
the functions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hydria.api.call import Call
from hydria.api.writing import (
    batch,
    health_monitor,
    l7policy,
    l7rule,
    listener,
    load_balancer,
    member,
    pool,
    rate_limit_policy,
    rate_limit_rule,
)
from hydria.api.writing.offer import Offers
from hydria.api.writing.profile import Profiles
from hydria.model.availability_zone import AvailabilityZone
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.flavor import Flavor
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.health_monitor import HealthMonitor
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.pool import Pool
from hydria.model.rate_limit_policy import RateLimitPolicy
from hydria.model.rate_limit_rule import RateLimitRule
from hydria.model.resource import Declared

__all__ = ["batch_members", "create", "delete", "update"]


class _Writer(Protocol):
    """What the module of a resource has."""

    def create(self, call: Call, body: object, parent: str | None) -> dict[str, object]: ...

    def update(self, call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]: ...

    def delete(self, call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None: ...


_WRITERS: Mapping[type[Declared], _Writer] = {
    LoadBalancer: load_balancer,
    Listener: listener,
    Pool: pool,
    Member: member,
    HealthMonitor: health_monitor,
    Flavor: Offers(Flavor),
    FlavorProfile: Profiles(Flavor, "validate_flavor", "flavor_data"),
    AvailabilityZone: Offers(AvailabilityZone),
    # A PUT's refusal names the flavors' option, as clients of Octavia know it.
    AvailabilityZoneProfile: Profiles(AvailabilityZone, "validate_availability_zone", "flavor_data"),
    L7Policy: l7policy,
    L7Rule: l7rule,
    RateLimitPolicy: rate_limit_policy,
    RateLimitRule: rate_limit_rule,
}


def create(call: Call, resource: type[Declared], body: object, parent: str | None) -> dict[str, object]:
    """Carry out a POST; ``body`` is what stands below the root key.

    ``parent``: the pool of a member, the policy of a rule. Returns the object as the response shows it,
    without the root key.
    """
    return _WRITERS[resource].create(call, body, parent)


def update(
    call: Call, resource: type[Declared], identifier: str, body: object, parent: str | None
) -> dict[str, object]:
    """Carry out a PUT; the object with its new values, as the response shows it."""
    return _WRITERS[resource].update(call, identifier, body, parent)


def delete(
    call: Call, resource: type[Declared], identifier: str, parent: str | None, *, cascade: bool
) -> None:
    """Carry out a DELETE; ``cascade`` is of load balancers alone."""
    _WRITERS[resource].delete(call, identifier, parent, cascade=cascade)


def batch_members(call: Call, pool_id: str, body: object, *, additive_only: bool) -> None:
    """Carry out a PUT of a pool's whole list of members (contract 1.13)."""
    batch.update(call, pool_id, body, additive_only=additive_only)
