"""The errors that a request can be answered with, in their two shapes (contract 1.5)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from http import HTTPStatus

from hydria.api.openapi.schemas import Components, Schema, closed

JSON = "application/json"

FAULT, NEUTRON_FAULT = "Fault", "NeutronFault"
_FAULT = closed(
    {
        "faultcode": {"type": "string", "enum": ["Client", "Server"]},
        "faultstring": {"type": "string"},
        "debuginfo": {"type": "null"},
    },
    ["faultcode", "faultstring", "debuginfo"],
)
ROUTING = closed(
    {"code": {"type": "integer"}, "title": {"type": "string"}, "description": {"type": "string"}},
    ["code", "title", "description"],
)
IDENTITY = closed(
    {
        "error": closed(
            {"message": {"type": "string"}, "code": {"const": 401}, "title": {"type": "string"}},
            ["message", "code", "title"],
        )
    },
    ["error"],
)
_NEUTRON_FAULT = closed(
    {"NeutronError": closed({key: {"type": "string"} for key in ("type", "message", "detail")})},
    ["NeutronError"],
)
_SHAPES = {FAULT: _FAULT, NEUTRON_FAULT: _NEUTRON_FAULT, "RoutingError": ROUTING, "IdentityError": IDENTITY}

# Status -> what it says, and the shapes of its body.
_ERRORS: dict[HTTPStatus, tuple[str, tuple[str, ...]]] = {
    HTTPStatus.BAD_REQUEST: ("The request is malformed or breaks a rule.", (FAULT,)),
    HTTPStatus.UNAUTHORIZED: ("The request says not, or not credibly, who asks.", ("IdentityError",)),
    HTTPStatus.FORBIDDEN: ("The caller may not do this, or the quota is used up.", (FAULT,)),
    HTTPStatus.NOT_FOUND: ("There is no such object.", (FAULT,)),
    HTTPStatus.NOT_ACCEPTABLE: ("The client does not accept JSON.", ("RoutingError",)),
    HTTPStatus.CONFLICT: ("The object is locked, or collides with another one.", (FAULT,)),
    HTTPStatus.PRECONDITION_FAILED: ("The object is not the one that If-Match names.", (FAULT,)),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("The body is too long.", ("RoutingError",)),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("The body is not announced as JSON.", (FAULT,)),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("Something failed that the caller cannot help.", (FAULT,)),
    HTTPStatus.NOT_IMPLEMENTED: ("The load balancer's provider cannot do this.", (FAULT,)),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Something that is needed is away; try again.", (FAULT,)),
}
READING = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
WRITING = (*READING, HTTPStatus.CONFLICT, HTTPStatus.NOT_IMPLEMENTED)
WITH_BODY = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE,)
CONDITIONAL = (HTTPStatus.PRECONDITION_FAILED,)

REQUEST_ID: Schema = {
    "description": "Under which the logs have the request.",
    "schema": {"type": "string", "pattern": "^req-"},
}
_RETRY_AFTER: Schema = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}


def errors(
    components: Components,
    statuses: Collection[HTTPStatus],
    *,
    below_parent: bool = False,
    fault: str = FAULT,
) -> Iterator[tuple[str, Schema]]:
    """Status -> response for these errors.

    below_parent: the path goes through another object, and its absence is an error of routing. fault: the
    shape of what a handler refuses.
    """
    for status in sorted(statuses):
        said, shapes = _ERRORS[status]
        if status is HTTPStatus.NOT_FOUND and below_parent:
            shapes = (FAULT, "RoutingError")
        shapes = tuple(fault if name == FAULT else name for name in shapes)
        refs = [components.ref(name, lambda name=name: _SHAPES[name]) for name in shapes]  # type: ignore[misc]
        response = answer(said, refs[0] if len(refs) == 1 else {"anyOf": refs})
        yield str(int(status)), later(response) if status is HTTPStatus.SERVICE_UNAVAILABLE else response


def later(response: Schema) -> Schema:
    """A response that says when to try again."""
    return response | {"headers": {"Retry-After": _RETRY_AFTER}}


def answer(description: str, schema: Schema | None = None) -> Schema:
    """A response with a JSON body, or without any."""
    response: Schema = {"description": description}
    if schema is not None:
        response["content"] = {JSON: {"schema": schema}}
    return response
