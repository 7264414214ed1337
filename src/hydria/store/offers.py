"""Flavors, availability zones and their profiles: what is used by whom, while nobody can change that.

Whoever begins to use something holds a shared lock on its row, whoever changes or removes it an exclusive
one: so what is found unused under that lock stays so, and what was found usable is there when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from hydria.model.availability_zone import AvailabilityZone
from hydria.model.flavor import Flavor
from hydria.model.load_balancer import LoadBalancer
from hydria.model.offer import Offer, Profile, metadata
from hydria.model.statuses import ProvisioningStatus
from hydria.store import events, rows, tables
from hydria.store.events import What


@dataclass(frozen=True, slots=True)
class Choice:
    """A flavor or availability zone with what its profile says. provider: whose words ``metadata`` are in."""

    key: str
    enabled: bool
    provider: str
    metadata: Mapping[str, Any]


def choice(tx: sa.Connection, offer: type[Offer], key: str, *, share: bool = False) -> Choice | None:
    """A flavor or availability zone by its key; None when there is none.

    ``share`` keeps it, and its profile, as they are until the transaction ends.
    """
    table, profiles = tables.table_of(offer), tables.table_of(offer.profile)
    data = profiles.c[offer.profile.data_field]
    query = sa.select(table.c[offer.key], table.c.enabled, profiles.c.provider_name, data).join_from(
        table, profiles, table.c[offer.profile_field] == profiles.c.id
    )
    query = query.where(table.c[offer.key] == key)
    row = tx.execute(query.with_for_update(read=True) if share else query).first()
    if row is None:
        return None
    return Choice(row[0], row[1], row[2], metadata(row[3], offer.profile.data_field))


def chosen(tx: sa.Connection, balancer: LoadBalancer, offer: type[Offer]) -> Mapping[str, Any] | None:
    """What the flavor or availability zone of a load balancer says; None when it has none."""
    key = getattr(balancer, offer.chosen_by)
    found = None if key is None else choice(tx, offer, key)
    return None if found is None else found.metadata


def expanded(tx: sa.Connection, balancer: LoadBalancer) -> dict[str, Mapping[str, Any]]:
    """What a load balancer's flavor and availability zone say, by octavia-lib's names."""
    said = {
        "flavor": chosen(tx, balancer, Flavor),
        "availability_zone": chosen(tx, balancer, AvailabilityZone),
    }
    return {name: each for name, each in said.items() if each is not None}


def share_profile(tx: sa.Connection, profile: type[Profile], identifier: str) -> bool:
    """Whether a profile exists; if so, until the transaction ends."""
    table = tables.table_of(profile)
    query = sa.select(table.c.id).where(table.c.id == identifier).with_for_update(read=True)
    return tx.execute(query).first() is not None


def offer_used(tx: sa.Connection, offer: Offer) -> bool:
    """Whether a load balancer has this flavor or availability zone."""
    balancers = tables.load_balancers.c
    return _any(
        tx,
        balancers[offer.chosen_by] == getattr(offer, offer.key),
        balancers.provisioning_status != str(ProvisioningStatus.DELETED),
    )


def profile_used(tx: sa.Connection, offer: type[Offer], profile: Profile) -> bool:
    """Whether a flavor or availability zone has this profile."""
    return _any(tx, tables.table_of(offer).c[offer.profile_field] == profile.id)


def update(tx: sa.Connection, item: Offer | Profile, changes: Mapping[str, Any]) -> None:
    """Write changes of a locked row."""
    if changes:
        tx.execute(sa.update(_table(item)).where(_is(item)).values(rows.to_row(type(item), changes)))
        events.note(tx, msgspec.structs.replace(item, **changes), What.UPDATE_END)


def delete(tx: sa.Connection, item: Offer | Profile) -> None:
    """Remove a locked row."""
    tx.execute(sa.delete(_table(item)).where(_is(item)))
    events.note(tx, item, What.DELETE_END)


def _any(tx: sa.Connection, *conditions: sa.ColumnElement[bool]) -> bool:
    return tx.execute(sa.select(sa.literal(1)).where(*conditions).limit(1)).first() is not None


def _table(item: Offer | Profile) -> sa.Table:
    return tables.table_of(type(item))


def _is(item: Offer | Profile) -> sa.ColumnElement[bool]:
    column: sa.Column[Any] = _table(item).c[item.key]
    same: sa.ColumnElement[bool] = column == getattr(item, item.key)
    return same
