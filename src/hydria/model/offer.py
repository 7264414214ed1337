"""What the operator offers to projects: flavors and availability zones (contract 1.18).

Both come in two parts. A *profile* is what a provider is told, as a JSON text in the provider's own words. An
*offer* gives it a name that projects may use; while one does, its profile stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec

from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.resource import IDENTIFIER, Attribute, Declared, Null, Use, internal


class Profile(Declared, frozen=True, kw_only=True):
    """What a flavor or an availability zone means to a provider."""

    data_field: ClassVar[str]  # the attribute with the JSON text

    id: Annotated[str, internal(IDENTIFIER)]
    name: Annotated[str, Attribute(kind=kinds.Text(), create=Use.REQUIRED, null=Null.REFUSE)]
    provider_name: Annotated[str, Attribute(kind=kinds.Text(), create=Use.REQUIRED, null=Null.REFUSE)]

    @property
    def data(self) -> str:
        """The JSON text."""
        return str(getattr(self, self.data_field))


class Offer(Declared, frozen=True, kw_only=True):
    """What projects may choose for a new load balancer.

    Class variables: the profile's resource, the attribute with its id, the load balancer's attribute that
    names the offer, and what messages call the choice.
    """

    profile: ClassVar[type[Profile]]
    profile_field: ClassVar[str]
    chosen_by: ClassVar[str]
    option: ClassVar[str]

    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    enabled: Annotated[bool, Attribute(kind=kinds.Boolean(), default=True)] = True

    @property
    def profile_id(self) -> str:
        """The id of its profile."""
        return str(getattr(self, self.profile_field))


DATA = Attribute(kind=kinds.Text(4096, lines=True), create=Use.REQUIRED, null=Null.REFUSE)
PROFILE_ID = Attribute(kind=IDENTIFIER, create=Use.REQUIRED, update=False)


def metadata(text: str, option: str) -> Mapping[str, Any]:
    """What the JSON text of a profile says; Invalid when it is no JSON object. ``option``: its name."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"{kinds.shown(text)} is not a valid option for {option}")
    return found
