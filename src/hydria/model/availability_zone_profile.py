"""The availability zone profile: what a zone means to a provider (contract 1.18)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model.offer import DATA, Profile


class AvailabilityZoneProfile(Profile, frozen=True, kw_only=True):
    """Where a provider builds load balancers."""

    root: ClassVar[str] = "availability_zone_profile"
    plural: ClassVar[str] = "availability_zone_profiles"
    label: ClassVar[str] = "Availability Zone Profile"
    argument: ClassVar[str] = "availability_zone_profile_"
    table: ClassVar[str] = "availability_zone_profiles"
    path: ClassVar[str] = "availabilityzoneprofiles"
    links: ClassVar[str] = "availability_zone_profile_links"
    data_field: ClassVar[str] = "availability_zone_data"

    availability_zone_data: Annotated[str, DATA]
