"""The flavor and the availability zone of a load balancer, and what follows from them (contract 1.9, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hydria.api.call import Call
from hydria.model.availability_zone import AvailabilityZone
from hydria.model.errors import Conflict, Invalid, validation
from hydria.model.flavor import Flavor, allows_member_sriov
from hydria.model.offer import Offer
from hydria.model.statuses import Topology, VnicType
from hydria.providers.registry import Provider
from hydria.store import offers
from hydria.store.offers import Choice

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a new load balancer chooses; None for nothing."""

    flavor: Choice | None
    zone: Choice | None

    def provider(self, call: Call, explicit: str | None) -> Provider:
        """Who builds it: whom the flavor names, else the request, else the operator.

        Raises Invalid when two of them disagree, and what the provider says of a zone in another's words.
        """
        if self.flavor and explicit not in (None, self.flavor.provider):
            raise Invalid(f"Flavor '{self.flavor.key}' is not compatible with provider '{explicit}'")
        found = call.services.providers.choose(self.flavor.provider if self.flavor else explicit)
        if self.zone and self.zone.provider != found.name:
            found.call("validate_availability_zone", dict(self.zone.metadata))
        return found

    @property
    def valid_vip_networks(self) -> tuple[str, ...] | None:
        """The networks that the zone's VIPs may be on; None when it does not say."""
        listed = self.zone.metadata.get("valid_vip_networks") if self.zone else None
        return tuple(map(str, listed)) if isinstance(listed, list) else None

    @property
    def member_sriov(self) -> bool:
        """Whether members may ask for SR-IOV."""
        return self.flavor is not None and allows_member_sriov(self.flavor.metadata)

    def attributes(self, values: Values, configured: str) -> dict[str, object]:
        """The load balancer's attributes that follow, ``configured`` being the topology without a flavor."""
        said = self.flavor.metadata if self.flavor else {}
        vnic_type = VnicType.DIRECT if said.get("sriov_vip") is True else VnicType.NORMAL
        groups_fit(vnic_type, values)
        topology = said.get("loadbalancer_topology")
        return {
            "topology": topology if topology in tuple(Topology) else configured,
            "vip_vnic_type": vnic_type,
        }

    def expanded(self) -> dict[str, Values]:
        """What they say, as the provider is shown it."""
        both = {"flavor": self.flavor, "availability_zone": self.zone}
        return {name: choice.metadata for name, choice in both.items() if choice is not None}

    def hold(self, tx: sa.Connection) -> None:
        """Keep both as they are until the transaction ends; raise when one is not as it was any more."""
        for offer, choice in ((Flavor, self.flavor), (AvailabilityZone, self.zone)):
            if choice is not None and _usable(tx, offer, choice.key, share=True) != choice:
                raise Conflict(f"{offer.label} {choice.key} has just been changed. Try again.")


def read(call: Call, values: Values) -> Choices:
    """What the request chooses; Invalid for what is not offered."""
    keys = {offer: values[offer.chosen_by] for offer in (Flavor, AvailabilityZone)}
    if all(key is None for key in keys.values()):
        return Choices(None, None)  # most load balancers: nothing to ask the database
    with call.services.store.read() as tx:
        flavor, zone = (None if key is None else _usable(tx, offer, key) for offer, key in keys.items())
    return Choices(flavor, zone)


def groups_fit(vnic_type: VnicType, values: Values) -> None:
    """Raise Invalid when a VIP that no security group can be put on is to have some."""
    if vnic_type is VnicType.DIRECT and values.get("vip_sg_ids"):
        raise validation("VIP Security Groups are not allowed with VNIC direct type")


def _usable(tx: sa.Connection, offer: type[Offer], key: str, *, share: bool = False) -> Choice:
    found = offers.choice(tx, offer, key, share=share)
    if found is None:
        raise _unknown(offer, key)
    if not found.enabled:
        raise Invalid(f"The selected {offer.option} is not allowed in this deployment: {key}")
    return found


def _unknown(offer: type[Offer], key: str) -> Invalid:
    return Invalid(f"{key} is not a valid option for {offer.chosen_by}")
