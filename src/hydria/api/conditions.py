"""Conditional requests (RFC 9110, section 13): ETags, and what depends on them."""

from __future__ import annotations

from hashlib import blake2b
from http import HTTPStatus

import falcon


def digest(data: bytes) -> str:
    """What tells one version of something from another."""
    return blake2b(data, digest_size=9).hexdigest()


def answer(req: falcon.Request, resp: falcon.Response, body: bytes, tag: str) -> None:
    """Answer a GET with a body of this tag, or say that the client has it already."""
    resp.set_header("ETag", f'"{tag}"')
    if any(known in ("*", tag) for known in req.if_none_match or ()):
        resp.status = HTTPStatus.NOT_MODIFIED
    else:
        resp.data = body
