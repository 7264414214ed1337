"""Rules of members (contract 1.13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.member import Member
from hydria.model.rules import reserved
from hydria.model.rules.deployment import Deployment


def member_created(
    values: Mapping[str, object], deployment: Deployment, closed: Iterable[str] = ()
) -> dict[str, object]:
    """A new member's values. closed: networks of the deployment's own that no member may be in."""
    _addresses_allowed(values, deployment, closed)
    return dict(values)


def member_updated(
    member: Member,  # noqa: ARG001  (every update rule takes the stored object)
    changes: Mapping[str, object],
    deployment: Deployment,
    closed: Iterable[str] = (),
) -> dict[str, object]:
    """A member's changes. closed: see :func:`member_created`."""
    _addresses_allowed(changes, deployment, closed)
    return dict(changes)


def _addresses_allowed(values: Mapping[str, object], deployment: Deployment, closed: Iterable[str]) -> None:
    # The monitor's address is judged too: probing a reserved address is as bad as serving from it.
    for field, option in (("address", "member address"), ("monitor_address", "member monitor_address")):
        given = values.get(field)
        if given is None:
            continue
        address = kinds.plain_address(str(given))
        if reserved.holder(address, deployment.reserved_ips):
            raise Invalid(f"{given} is not a valid option for {option}")
        if address.is_unspecified:
            # HAProxy reads 0.0.0.0 as "where the client wanted to go", which is the listener itself.
            raise Invalid(f"The IP Address {given} is invalid.")
        if what := reserved.serves_nobody(address):
            raise Invalid(f"{given} is not a valid option for {option}: it is {what}.")
        if reserved.holder(address, closed):
            raise Invalid(
                f"{given} is not a valid option for {option}: it is the deployment's own, of its hosts or its"
                " management network."
            )
