"""The L7 policies of a fully populated create (contract 1.10), by the same rules as single creates."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from hydria.api.call import Call
from hydria.api.writing import graph_pools, requests
from hydria.api.writing.l7rule import too_many
from hydria.model import rules
from hydria.model.errors import NotFound
from hydria.model.l7policy import L7Policy
from hydria.model.l7rule import L7Rule
from hydria.model.pool import Pool
from hydria.model.statuses import ListenerProtocol, PoolProtocol

Body = Mapping[str, object]
Values = dict[str, object]
_NOT_NESTED = ("project_id", "tenant_id")  # which only a single create has


@dataclass(frozen=True, slots=True)
class Policy:
    """Field -> value of a policy and of each of its rules; ids and references are filled in."""

    values: Values
    rules: tuple[Values, ...]


def read(call: Call, listener: Body, listener_id: str, pool_ids: Mapping[str, str]) -> list[Policy]:
    """Parse the policies of a listener's body, in the order in which they will be tried.

    pool_ids: name -> id of every pool of the request. Positions are given out as by one create after another.
    """
    ordered: list[Policy] = []
    for body in requests.records("l7policies", listener.get("l7policies")):
        policy = _policy(call, body, listener_id, pool_ids)
        ordered.insert(int(str(policy.values["position"])) - 1, policy)
    for position, policy in enumerate(ordered, start=1):
        policy.values["position"] = position
    return ordered


def judged(
    values: Values,
    listener_protocols: Mapping[object, ListenerProtocol],
    pool_protocols: Mapping[object, PoolProtocol],
) -> Values:
    """A policy completed by the rules. The protocols are those of the listeners and pools, by id."""
    protocol = listener_protocols[values["listener_id"]]
    completed = rules.policy_created(values, protocol)
    if completed["redirect_pool_id"] is not None:
        rules.pool_fits_listener(protocol, pool_protocols[completed["redirect_pool_id"]])
    return completed


def _policy(call: Call, body: Body, listener_id: str, pool_ids: Mapping[str, str]) -> Policy:
    values = requests.nested(
        call, L7Policy, body, unknown=(*_NOT_NESTED, "listener_id"), listener_id=listener_id
    )
    if values["redirect_pool_id"] is not None:
        raise NotFound(Pool.label, str(values["redirect_pool_id"]))  # a new load balancer has no pools yet
    pool = body.get("redirect_pool")
    if pool is not None:
        values["redirect_pool_id"] = pool_ids[graph_pools.name_of(cast("Body", pool))]
    values["id"] = policy_id = str(uuid.uuid4())
    given = requests.records("rules", body.get("rules"))
    if len(given) > rules.MOST_RULES:
        raise too_many(policy_id)
    parsed = [requests.nested(call, L7Rule, rule, unknown=_NOT_NESTED) for rule in given]
    return Policy(values, tuple({**rule, "l7policy_id": policy_id} for rule in parsed))
