"""What objects were before a change that nobody knows yet to be one that can be served; pure.

A worker goes back to it when the amphorae's daemons refuse what the object was changed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from hydria.model.resource import Recalled, attributes, build
from hydria.model.statuses import ProvisioningStatus

R = TypeVar("R", bound=Recalled)


def never_served(item: Recalled) -> bool:
    """Whether the object, as far as is known, has been refused or pending ever since it was made."""
    status = item.provisioning_status
    if status is ProvisioningStatus.ACTIVE or item.previous:
        return False
    new = status is ProvisioningStatus.ERROR and item.updated_at is None
    return status is ProvisioningStatus.PENDING_CREATE or new or item.previous == {}


def before(item: Recalled, changes: Mapping[str, object]) -> dict[str, object]:
    """The values to go back to once ``changes`` are made: those that were served last; {} for none."""
    if never_served(item):
        return {}
    known = attributes(type(item))
    replaced = {name: getattr(item, name) for name in changes if name in known and known[name].stored}
    if item.provisioning_status is ProvisioningStatus.ACTIVE:
        return replaced
    return replaced | (item.previous or {})


def as_before(item: R) -> R | None:
    """The object as it was served last; None when it was not, or is not known to have changed since."""
    if not item.previous:
        return None
    return build(type(item), msgspec.structs.asdict(item) | item.previous)
