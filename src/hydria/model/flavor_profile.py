"""The flavor profile: what a flavor means to a provider (contract 1.18)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model.offer import DATA, Profile


class FlavorProfile(Profile, frozen=True, kw_only=True):
    """Options of a provider's load balancers."""

    root: ClassVar[str] = "flavorprofile"
    plural: ClassVar[str] = "flavorprofiles"
    label: ClassVar[str] = "Flavor Profile"
    argument: ClassVar[str] = "flavor_profile_"
    table: ClassVar[str] = "flavor_profiles"
    links: ClassVar[str] = "flavorprofile_links"
    data_field: ClassVar[str] = "flavor_data"

    flavor_data: Annotated[str, DATA]
