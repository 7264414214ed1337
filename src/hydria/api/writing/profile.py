"""Changes of flavor profiles and availability zone profiles (contract 1.18)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.api import conditions, policy, views
from hydria.api.call import Call
from hydria.api.writing import requests
from hydria.api.writing.change import known_id
from hydria.model.errors import Conflict, NotFound
from hydria.model.offer import Offer, Profile, metadata
from hydria.model.resource import build, parse_create, parse_update
from hydria.store import offers, rows
from hydria.store.relations import NONE


@dataclass(frozen=True, slots=True)
class Profiles:
    """Writes one kind of profile.

    offer: what uses them. validate: the provider driver's method that judges what they say.
    option: what messages call a PUT's text that is no JSON.
    """

    offer: type[Offer]
    validate: str
    option: str

    def create(self, call: Call, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG002  (of members)
        """Add a profile that its provider understands."""
        resource = self._resource
        policy.authorize(call, policy.rule(resource, "post"))
        values = parse_create(resource, requests.record(resource, body), call.services.defaults)
        self._judge(call, values, metadata(str(values[resource.data_field]), resource.data_field))
        item = build(resource, {**values, "id": str(uuid.uuid4())})
        call.services.store.transact(lambda tx: rows.insert(tx, [item]))
        return views.body(item, NONE)

    def update(self, call: Call, identifier: str, body: object, parent: str | None) -> dict[str, object]:  # noqa: ARG002
        """Change a profile; while it is used, only its name."""
        resource = self._resource
        given = parse_update(resource, requests.record(resource, body), call.services.defaults)

        def work(tx: sa.Connection) -> dict[str, object]:
            item = self._locked(call, tx, identifier, "put")
            present = msgspec.structs.asdict(item)
            changes = {name: value for name, value in given.items() if value != present[name]}
            if changes.keys() - {"name"}:
                said = metadata((present | changes)[resource.data_field], self.option)
                self._unused(tx, item)
                self._judge(call, present | changes, said)
            offers.update(tx, item, changes)
            return views.body(build(resource, present | changes), NONE)

        return call.services.store.transact(work)

    def delete(self, call: Call, identifier: str, parent: str | None, *, cascade: bool) -> None:  # noqa: ARG002
        """Remove a profile that nothing uses."""

        def work(tx: sa.Connection) -> None:
            item = self._locked(call, tx, identifier, "delete")
            self._unused(tx, item)
            offers.delete(tx, item)

        call.services.store.transact(work)

    @property
    def _resource(self) -> type[Profile]:
        return self.offer.profile

    def _locked(self, call: Call, tx: sa.Connection, identifier: str, action: str) -> Profile:
        resource = self._resource
        item = rows.load_one(tx, resource, known_id(resource, identifier), lock=True)
        if item is None:
            raise NotFound(resource.label, identifier)
        policy.authorize(call, policy.rule(resource, action))
        conditions.require(call, tx, item)
        return item

    def _unused(self, tx: sa.Connection, item: Profile) -> None:
        if offers.profile_used(tx, self.offer, item):
            raise in_use(item)

    def _judge(self, call: Call, values: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        """Raise unless the provider takes what a profile would say."""
        call.services.providers.choose(values["provider_name"]).call(self.validate, dict(said))


def in_use(item: Offer | Profile) -> Conflict:
    """The error for what cannot be changed or removed because it is used."""
    return Conflict(f"{item.label} {getattr(item, item.key)} is in use and cannot be modified.")
