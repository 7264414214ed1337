"""Changes of flavors and availability zones (contract 1.18)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from hydria.api import conditions, policy, views
from hydria.api.call import Call
from hydria.api.writing import requests
from hydria.api.writing.profile import in_use
from hydria.model import kinds
from hydria.model.errors import Conflict, Invalid, NotFound
from hydria.model.offer import Offer
from hydria.model.resource import build, parse_create, parse_key, parse_update
from hydria.store import offers, rows
from hydria.store.relations import NONE


@dataclass(frozen=True, slots=True)
class Offers:
    """Writes one kind of offer."""

    resource: type[Offer]

    def create(self, call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG002  (of members)
        """Offer what a profile says under a name."""
        resource = self.resource
        policy.authorize(call, policy.rule(resource, "post"))
        values = parse_create(resource, requests.record(resource, body), call.services.defaults)
        if resource.key == "id":
            values["id"] = str(uuid.uuid4())
        item = build(resource, values)

        def work(tx: sa.Connection) -> dict[str, object]:
            if not offers.share_profile(tx, resource.profile, item.profile_id):
                raise Invalid(f"{item.profile_id} is not a valid option for {resource.profile_field}")
            rows.insert(tx, [item])
            return views.body(item, NONE)

        return self._named(call, body, work)

    def update(self, call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG002
        """Change what it is called, or whether it can be chosen."""
        resource = self.resource
        changes = parse_update(resource, requests.record(resource, body), call.services.defaults)

        def work(tx: sa.Connection) -> dict[str, object]:
            item = self._locked(call, tx, identifier, "put")
            offers.update(tx, item, changes)
            return views.body(build(resource, msgspec.structs.asdict(item) | changes), NONE)

        return self._named(call, body, work)

    def delete(self, call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG002
        """Withdraw an offer that no load balancer has."""

        def work(tx: sa.Connection) -> None:
            item = self._locked(call, tx, identifier, "delete")
            if offers.offer_used(tx, item):
                raise in_use(item)
            offers.delete(tx, item)

        call.services.store.transact(work)

    def _locked(self, call: Call, tx: sa.Connection, identifier: str, action: str) -> Offer:
        resource = self.resource
        try:
            item = rows.load_one(tx, resource, parse_key(resource, identifier), lock=True)
        except kinds.BadValue:
            item = None
        if item is None:
            raise NotFound(resource.label, kinds.shown(identifier))
        policy.authorize(call, policy.rule(resource, action))
        conditions.require(call, tx, item)
        return item

    def _named(
        self, call: Call, body: object, work: Callable[[sa.Connection], dict[str, object]]
    ) -> dict[str, object]:
        """Carry out what gives it a name that no other one may have."""
        try:
            return call.services.store.transact(work)
        except exc.IntegrityError as error:
            name = body.get("name") if isinstance(body, Mapping) else None
            option = self.resource.option.replace("_", " ")
            raise Conflict(f"A {option} of {kinds.shown(name)} already exists.") from error
