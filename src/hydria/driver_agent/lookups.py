"""The get socket: providers look objects up, in the shape of octavia-lib's data models (contract 3.4)."""

from __future__ import annotations

from typing import Any

import msgspec

from hydria.driver_agent import requests
from hydria.driver_agent.requests import Fault
from hydria.driver_agent.statuses import RESOURCES
from hydria.model.l7policy import L7Policy
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.pool import Pool
from hydria.model.resource import Resource
from hydria.model.statuses import ProvisioningStatus
from hydria.providers import objects
from hydria.store import Store, offers, rows, trees

_ABSENT = msgspec.json.encode({})
# Those that have something nested.
_NESTING = (LoadBalancer, Listener, L7Policy, Pool)


class Lookups:
    """Answers look-ups, of the objects of all providers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, body: bytes) -> bytes:
        """Carry out one request; Fault when it is malformed, Unavailable when the database is away."""
        request = requests.decode(body)
        words, identifier = request.get("object"), request.get("id")
        if not isinstance(words, str) or words not in RESOURCES or not isinstance(identifier, str):
            raise Fault(
                f"A look-up names an object ({', '.join(RESOURCES)}) and its id, not {request!r:.200}."
            )
        found = self._find(RESOURCES[words], requests.known_id(identifier))
        return _ABSENT if found is None else msgspec.json.encode(found)

    def _find(self, resource: type[Resource], identifier: str) -> dict[str, Any] | None:
        with self._store.read() as tx:
            item = rows.load_one(tx, resource, identifier)
            if item is None or item.provisioning_status is ProvisioningStatus.DELETED:
                return None
            if resource in _NESTING:
                found = trees.load_whole(tx, getattr(item, "load_balancer_id", item.id))
                if found is None:
                    return None
                # What is on its way out is no part of anything, unless it goes with what was asked for.
                tree = found[0].desired() if item.desired else found[0]
                said = offers.expanded(tx, item) if isinstance(item, LoadBalancer) else {}
                given = objects.within(item, tree, **said)
            else:
                given = objects.of(item)
        shown: dict[str, Any] = given.to_dict(recurse=True, render_unsets=True)
        return shown
