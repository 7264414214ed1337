"""The availability zone: a place for load balancers that the operator offers (contract 1.18)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.availability_zone_profile import AvailabilityZoneProfile
from hydria.model.offer import PROFILE_ID, Offer, Profile
from hydria.model.resource import Attribute, Use


class AvailabilityZone(Offer, frozen=True, kw_only=True):
    """An availability zone profile under the name that projects know, which is its key, too."""

    root: ClassVar[str] = "availability_zone"
    plural: ClassVar[str] = "availability_zones"
    label: ClassVar[str] = "Availability Zone"
    argument: ClassVar[str] = "availability_zone_"
    table: ClassVar[str] = "availability_zones"
    key: ClassVar[str] = "name"
    path: ClassVar[str] = "availabilityzones"
    profile: ClassVar[type[Profile]] = AvailabilityZoneProfile
    profile_field: ClassVar[str] = "availability_zone_profile_id"
    chosen_by: ClassVar[str] = "availability_zone"
    option: ClassVar[str] = "availability_zone"

    name: Annotated[str, Attribute(kind=kinds.UrlPart(), create=Use.REQUIRED, update=False)]
    availability_zone_profile_id: Annotated[str, PROFILE_ID]
