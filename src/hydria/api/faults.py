"""Errors as HTTP answers (contract 1.5): the one table from domain errors to status codes.

Two shapes of body, as Octavia's clients know them: faults of a handler, and those of routing, which have no
handler yet (unknown paths, methods, and the pool in the path of its members). Below the roots of other
services (roots.py) faults have the shape that those services' clients read.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

import falcon
import msgspec

from hydria.api import roots
from hydria.model.errors import (
    Changed,
    Conflict,
    DriverError,
    Forbidden,
    HydriaError,
    Invalid,
    NotFound,
    ProviderFailed,
    QuotaExceeded,
    Unavailable,
    Unreachable,
    Unsupported,
)
from hydria.model.faults import discreet

LOG = logging.getLogger(__name__)
RETRY_SECONDS = "5"


class UnknownParent(NotFound):
    """The object in the middle of the path, to which the one asked for belongs."""


class UnknownMediaType(HydriaError):  # noqa: N818  (named as its kin in model/errors.py)
    """A body in a format that is not spoken here."""

    def __init__(self, media_type: str) -> None:
        super().__init__(f"Unknown mimetype: {media_type}")


class Unauthorized(HydriaError):  # noqa: N818  (the same)
    """Nobody knows who asks. ``challenge``: how to say it, for the header WWW-Authenticate."""

    def __init__(self, challenge: str) -> None:
        super().__init__("The request you have made requires authentication.")
        self.challenge = challenge


class TooMany(HydriaError):  # noqa: N818  (the same)
    """Somebody asks for more than is there for strangers. ``seconds``: when to try again."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(f"{message} Try again in {seconds} s.")
        self.seconds = seconds


_STATUSES: dict[type[BaseException], HTTPStatus] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    UnknownMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Forbidden: HTTPStatus.FORBIDDEN,
    QuotaExceeded: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Changed: HTTPStatus.PRECONDITION_FAILED,
    Conflict: HTTPStatus.CONFLICT,
    TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    Unsupported: HTTPStatus.NOT_IMPLEMENTED,
    ProviderFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Unreachable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: BaseException) -> HTTPStatus:
    """The status of the answer to a request that failed so."""
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            return _STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def install(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Have the application answer every error from here."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(HydriaError, _refused)
    app.add_error_handler(UnknownParent, _unroutable)
    app.add_error_handler(Unauthorized, _unknown_caller)
    app.add_error_handler(TooMany, _later)
    app.set_error_serializer(_of_routing)


def _refused(req: falcon.Request, resp: falcon.Response, error: HydriaError, _params: object) -> None:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("%s: %s", _request(req), error, exc_info=error)
    elif status > HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.warning("%s: %s", _request(req), error)
    # What a driver says of a failure is for the operator, who finds all of it in the log.
    message = discreet(error.message) if isinstance(error, DriverError) else error.message
    _fault(req, resp, status, message)


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: object) -> None:
    # What went wrong may show what nobody outside should see, so only the log gets it.
    LOG.error("%s: unexpected error", _request(req), exc_info=error)
    message = f"An unexpected error happened; the log of the API controller has it under {_request_id(req)}."
    _fault(req, resp, HTTPStatus.INTERNAL_SERVER_ERROR, message)


def _unroutable(_req: falcon.Request, resp: falcon.Response, error: HydriaError, _params: object) -> None:
    status = status_of(error)
    resp.status = status
    # Octavia's title of any error that it raises itself.
    resp.data = routing_body(status, error.message, HTTPStatus.BAD_REQUEST.phrase)


def _unknown_caller(
    _req: falcon.Request, resp: falcon.Response, error: Unauthorized, _params: object
) -> None:
    status = HTTPStatus.UNAUTHORIZED
    resp.status = status
    resp.set_header("WWW-Authenticate", error.challenge)
    # As Keystone's middleware says it.
    body = {"message": error.message, "code": int(status), "title": status.phrase}
    resp.data = msgspec.json.encode({"error": body})


def _later(req: falcon.Request, resp: falcon.Response, error: TooMany, params: object) -> None:
    resp.set_header("Retry-After", str(error.seconds))
    _refused(req, resp, error, params)


def _of_routing(_req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    status = HTTPStatus(falcon.http_status_to_code(error.status))
    resp.content_type = falcon.MEDIA_JSON
    resp.data = routing_body(status, error.description or status.description or status.phrase)


def _fault(req: falcon.Request, resp: falcon.Response, status: HTTPStatus, message: str) -> None:
    resp.status = status
    match roots.of(req.path):
        case roots.NETWORK:
            body = {"type": status.phrase.replace(" ", ""), "message": message, "detail": ""}
            resp.data = msgspec.json.encode({"NeutronError": body})
        case roots.KEY_MANAGER:
            resp.data = routing_body(status, message)
        case _:
            code = "Server" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Client"
            resp.data = msgspec.json.encode({"faultcode": code, "faultstring": message, "debuginfo": None})


def routing_body(status: HTTPStatus, description: str, title: str = "") -> bytes:
    """The body of an answer to what reached no handler."""
    title = title or status.phrase
    return msgspec.json.encode({"code": int(status), "title": title, "description": description})


def _request(req: falcon.Request) -> str:
    return f"{_request_id(req)} {req.method} {req.path}"


def _request_id(req: falcon.Request) -> str:
    return str(getattr(req.context, "request_id", "-"))
