"""Quotas (contract 1.17): setting them, and holding new objects against them.

What a project has is compared under a lock of the project's, the last that a transaction takes, and only
where there is a limit at all. Without identity nobody is limited, as in Octavia.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from hydria.api import policy
from hydria.api.call import Call
from hydria.api.caller import NOAUTH
from hydria.api.views import Body, view
from hydria.api.writing import requests
from hydria.model.quota import ALIASES, OPTIONS, UNLIMITED, Quota, exceeded, field_of
from hydria.model.resource import Resource, bad_value, parse_update
from hydria.store import quotas
from hydria.store.relations import NONE

Wanted = Mapping[type[Resource], int]  # what a request adds, in the order in which it is counted
Limits = Mapping[type[Resource], int]  # of what is limited at all


def update(call: Call, project_id: str, body: object) -> Body:
    """Set a project's quotas; those that the request leaves out stay as they are."""
    policy.authorize(call, "quota:put", project_id)
    given = parse_update(Quota, _canonical(requests.record(Quota, body)), call.services.defaults)

    def work(tx: sa.Connection) -> Quota:
        quotas.lock(tx, project_id)
        present = quotas.find(tx, project_id) or Quota(project_id=project_id)
        changed: Quota = msgspec.structs.replace(present, **given)
        quotas.save(tx, changed)
        return changed

    return shown(call, call.services.store.transact(work))


def delete(call: Call, project_id: str) -> None:
    """Back to the defaults, which a project may have already."""
    policy.authorize(call, "quota:delete", project_id)
    call.services.store.transact(lambda tx: quotas.remove(tx, project_id))


def shown(call: Call, quota: Quota) -> Body:
    """A project's quotas as a response shows them: the defaults in the places of those that are not set."""
    return view(Quota).of_object(completed(call, quota), NONE)


def completed(call: Call, quota: Quota) -> Quota:
    """The quotas with the deployment's defaults filled in."""
    options = call.services.settings.quotas
    defaults = {
        field: getattr(options, name) for field, name in OPTIONS.items() if getattr(quota, field) is None
    }
    return msgspec.structs.replace(quota, **defaults)


def foresee(call: Call, project_id: str, wanted: Wanted) -> Limits:
    """Refuse a request that has no chance, before anything is made for it; what limits it.

    Raises QuotaExceeded.
    """
    if _free(call, wanted):
        return {}
    with call.services.store.read() as tx:
        limits = _limits(call, tx, project_id, wanted)
        if limits:
            _compare(tx, project_id, quotas.bounds(tx, project_id), wanted, limits)
    return limits


def reserve(
    call: Call, tx: sa.Connection, project_id: str, wanted: Wanted, limits: Limits | None = None
) -> None:
    """Raise QuotaExceeded unless the project may have so many more, whoever else asks at the same time.

    Called before the objects are written, in their transaction. ``limits``: as foreseen.
    """
    if _free(call, wanted):
        return
    limits = _limits(call, tx, project_id, wanted) if limits is None else limits
    if limits:
        known = quotas.lock(tx, project_id)
        quotas.keep(tx, project_id, _compare(tx, project_id, known, wanted, limits))


def _free(call: Call, wanted: Wanted) -> bool:
    """Whether there is nothing to be compared."""
    return call.services.settings.api_settings.auth_strategy == NOAUTH or max(wanted.values()) <= 0


def _limits(call: Call, tx: sa.Connection, project_id: str, wanted: Wanted) -> Limits:
    """The finite ones among the quotas of what the request adds."""
    found = completed(call, quotas.find(tx, project_id) or Quota(project_id=project_id))
    limits = {
        resource: getattr(found, field_of(resource)) for resource, number in wanted.items() if number > 0
    }
    return {resource: limit for resource, limit in limits.items() if limit != UNLIMITED}


def _compare(
    tx: sa.Connection, project_id: str, known: quotas.Bounds, wanted: Wanted, limits: Limits
) -> quotas.Bounds:
    """The bounds with what is wanted; raises QuotaExceeded, with the name of the first that is exceeded."""
    for resource, limit in limits.items():
        if wanted[resource] > limit:
            raise exceeded(resource)
    resource_exceeded, raised = quotas.compare(tx, project_id, known, wanted, limits)
    if resource_exceeded is not None:
        raise exceeded(resource_exceeded)
    return raised


def _canonical(body: Mapping[str, object]) -> dict[str, object]:
    """The body with the old names of two quotas replaced."""
    canonical = {name: value for name, value in body.items() if name not in ALIASES}
    for old, name in ALIASES.items():
        if old not in body:
            continue
        if name in body and body[name] != body[old]:
            raise bad_value(old, body[old], f"{name} has another value; {old} is its old name.")
        canonical[name] = body[old]
    return canonical
