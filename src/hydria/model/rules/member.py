"""Rules of members (contract 1.13)."""

from __future__ import annotations

from collections.abc import Mapping

from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.member import Member
from hydria.model.rules.deployment import Deployment


def member_created(values: Mapping[str, object], deployment: Deployment) -> dict[str, object]:
    """A new member's values."""
    _addresses_allowed(values, deployment)
    return dict(values)


def member_updated(
    member: Member,  # noqa: ARG001  (every update rule takes the stored object)
    changes: Mapping[str, object],
    deployment: Deployment,
) -> dict[str, object]:
    """A member's changes."""
    _addresses_allowed(changes, deployment)
    return dict(changes)


def _addresses_allowed(values: Mapping[str, object], deployment: Deployment) -> None:
    # The monitor's address is judged too: probing a reserved address is as bad as serving from it.
    reserved = {kinds.plain_address(ip) for ip in deployment.reserved_ips}
    for field, option in (("address", "member address"), ("monitor_address", "member monitor_address")):
        given = values.get(field)
        if given is None:
            continue
        address = kinds.plain_address(str(given))
        if address in reserved:
            raise Invalid(f"{given} is not a valid option for {option}")
        if address.is_unspecified:
            # HAProxy reads 0.0.0.0 as "where the client wanted to go", which is the listener itself.
            raise Invalid(f"The IP Address {given} is invalid.")
