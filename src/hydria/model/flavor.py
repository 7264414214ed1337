"""The flavor: a kind of load balancer that the operator offers (contract 1.18)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from hydria.model import kinds
from hydria.model.flavor_profile import FlavorProfile
from hydria.model.offer import PROFILE_ID, Offer, Profile
from hydria.model.resource import IDENTIFIER, Attribute, Null, Use, internal


class Flavor(Offer, frozen=True, kw_only=True):
    """A flavor profile under the name that projects know."""

    root: ClassVar[str] = "flavor"
    plural: ClassVar[str] = "flavors"
    label: ClassVar[str] = "Flavor"
    argument: ClassVar[str] = "flavor_"
    table: ClassVar[str] = "flavors"
    profile: ClassVar[type[Profile]] = FlavorProfile
    profile_field: ClassVar[str] = "flavor_profile_id"
    chosen_by: ClassVar[str] = "flavor_id"
    option: ClassVar[str] = "flavor"

    id: Annotated[str, internal(IDENTIFIER)]
    name: Annotated[str, Attribute(kind=kinds.Text(), create=Use.REQUIRED, null=Null.REFUSE)]
    flavor_profile_id: Annotated[str, PROFILE_ID]


def allows_member_sriov(said: Mapping[str, Any]) -> bool:
    """Whether members of such load balancers may ask for SR-IOV. ``said``: what the flavor's profile says."""
    return said.get("allow_member_sriov") is True
