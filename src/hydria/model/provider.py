"""The provider: what builds load balancers (contract 1.18). Configured, so in no table."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.resource import Declared, internal


class Provider(Declared, frozen=True, kw_only=True):
    """A provider by its name; what its flavors and availability zones can say is shown in the same form."""

    root: ClassVar[str] = "provider"
    plural: ClassVar[str] = "providers"
    label: ClassVar[str] = "Provider"
    argument: ClassVar[str] = "provider_"
    key: ClassVar[str] = "name"

    name: Annotated[str, internal(kinds.Text())]
    description: Annotated[str, internal(kinds.Text())]
