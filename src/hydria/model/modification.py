"""What L7 policies of Hydria's own actions carry: a fixed response, changes of headers, another path."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from hydria.model import alphabets, kinds

MOST_CHANGES = 20  # of headers in one policy
_BODY_LENGTH = 2048


class Direction(StrEnum):
    """Whose headers change."""

    REQUEST = "REQUEST"
    RESPONSE = "RESPONSE"


class Operation(StrEnum):
    """SET replaces all headers of the name, ADD leaves those that are there, REMOVE takes them away."""

    SET = "SET"
    ADD = "ADD"
    REMOVE = "REMOVE"


_CONTENT_TYPE = kinds.Pattern(
    r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(?:; ?[A-Za-z0-9\-]+=[A-Za-z0-9._\-]+)*",
    "Value should be a media type such as text/html or 'text/html; charset=utf-8'.",
    limit=127,
)
_BODY = kinds.Pattern(
    r"[ -~]+",
    "Value should be printable ASCII on one line; HTML and JSON have escapes for everything else.",
    limit=_BODY_LENGTH,
    least=1,
)
_HEADER_VALUE = kinds.Pattern(
    r"[!-~](?:[ -~]*[!-~])?",
    "Value should be printable ASCII without blanks at its ends.",
    limit=1024,
    least=1,
)

FIXED_RESPONSE = kinds.Record(
    {"status": kinds.Integer(200, 599), "content_type": _CONTENT_TYPE, "body": _BODY}, required=("status",)
)
HEADER_CHANGES = kinds.ListOf(
    kinds.Record(
        {
            "direction": kinds.Choice(Direction),
            "operation": kinds.Choice(Operation),
            "name": alphabets.HEADER_NAME,
            "value": _HEADER_VALUE,
        },
        required=("direction", "operation", "name"),
    ),
    limit=MOST_CHANGES,
    empty_is_null=True,
)
URL_REWRITE = kinds.Record(
    {"prefix": alphabets.PATH, "replacement": alphabets.PATH}, required=("prefix", "replacement")
)


class FixedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a client gets without any member being asked."""

    status: int
    content_type: str | None = None
    body: str | None = None


class HeaderChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the headers of requests to members, or of their responses."""

    direction: Direction
    operation: Operation
    name: str
    value: str | None = None


class UrlRewrite(msgspec.Struct, frozen=True, kw_only=True):
    """Paths that are ``prefix``, or below it, get ``replacement`` in its place; the query stays."""

    prefix: str
    replacement: str
