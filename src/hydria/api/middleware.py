"""What every request goes through before and after its handler (contract 1.1)."""

from __future__ import annotations

import uuid
from collections.abc import Container
from http import HTTPStatus

import falcon
from falcon import mediatypes

from hydria.api.access_log import PROJECT, USER
from hydria.api.caller import Identify
from hydria.api.envelope import too_large
from hydria.api.faults import RETRY_SECONDS
from hydria.api.hosts import Hosts

_ANYTHING = frozenset({"", "*/*", "application/json"})
_OTHER_TYPES = ("/healthcheck", "/payload")  # the latter is refused with a sentence of its own


class Transport:
    """The request id, the ``.json`` suffix, and the limits of what is spoken here."""

    def __init__(self, longest_body: int) -> None:
        self._longest_body = longest_body

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Refuse what cannot be answered in JSON or is too long."""
        req.context.request_id = req.env.get("openstack.request_id") or f"req-{uuid.uuid4()}"
        if req.path.endswith(".json"):
            req.path = req.path.removesuffix(".json")
        accept = req.env.get("HTTP_ACCEPT", "")
        if accept not in _ANYTHING and not req.path.endswith(_OTHER_TYPES) and not _accepts_json(accept):
            raise falcon.HTTPNotAcceptable(description="Only content type application/json is accepted.")
        if req.env.get("CONTENT_LENGTH") and (req.content_length or 0) > self._longest_body:
            raise falcon.HTTPContentTooLarge(description=too_large(self._longest_body))

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """Name the request, for who looks for it in the logs; say when to repeat what failed for now."""
        resp.set_header("X-Openstack-Request-Id", req.context.request_id)
        if resp.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            resp.set_header("Retry-After", RETRY_SECONDS)


class Identification:
    """Who asks, for every request but those that anybody may send."""

    def __init__(self, identify: Identify, open_paths: Container[str]) -> None:
        self._identify = identify
        self._open_paths = open_paths

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Note the caller; refuse those who are not known."""
        if req.env["PATH_INFO"] not in self._open_paths:
            caller = req.context.caller = self._identify(req)
            req.env[PROJECT], req.env[USER] = caller.project_id, caller.user_id


class Naming:
    """By which name the API is asked, for every request; after who asks, since a strategy may be stricter."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Refuse names that are not this API's."""
        if host := req.env.get("HTTP_HOST"):
            self._hosts.check(host)


def _accepts_json(accept: str) -> bool:
    try:
        return mediatypes.quality(falcon.MEDIA_JSON, accept) > 0
    except (falcon.errors.InvalidMediaRange, falcon.errors.InvalidMediaType):
        return True  # what cannot be read asks for nothing
