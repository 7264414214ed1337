"""Rules of what L7 policies of Hydria's own actions carry (model/modification.py)."""

from __future__ import annotations

from typing import cast

import msgspec

from hydria.model.errors import Invalid
from hydria.model.l7policy import L7Policy
from hydria.model.modification import Direction, FixedResponse, HeaderChange, Operation

_WITHOUT_BODY = (204, 205, 304)  # RFC 9110, section 15
# What delimits messages and belongs to one connection is HAProxy's.
_FRAMING = {
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",
}  # fmt: skip


def modification_fits(policy: L7Policy) -> None:
    """Refuse a response or changes of headers that cannot be."""
    if policy.fixed_response is not None:
        _response_fits(msgspec.convert(policy.fixed_response, FixedResponse, from_attributes=True))
    for given in policy.header_changes or ():
        _change_fits(msgspec.convert(cast("object", given), HeaderChange, from_attributes=True))


def _response_fits(response: FixedResponse) -> None:
    if response.body is not None and response.status in _WITHOUT_BODY:
        raise _invalid(f"a response with the status {response.status} has no body.")
    if response.body is None and response.content_type is not None:
        raise _invalid("content_type is only for a fixed_response with a body.")


def _change_fits(change: HeaderChange) -> None:
    name = change.name.lower()
    if name in _FRAMING:
        raise _invalid(f"the header {change.name} is part of the connection and cannot be changed.")
    fixed = change.direction is Direction.REQUEST and change.operation is not Operation.SET
    if name == "host" and fixed:
        raise _invalid("a request has one Host header: it can only be SET.")
    if (change.value is None) != (change.operation is Operation.REMOVE):
        needs = "no value" if change.operation is Operation.REMOVE else "a value"
        raise _invalid(f"{change.operation} of the header {change.name} needs {needs}.")


def _invalid(detail: str) -> Invalid:
    return Invalid(f"Invalid L7 Policy arguments: {detail}")
