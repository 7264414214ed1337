"""The bodies of requests: read, decoded, and taken out of their root key (contract 1.4)."""

from __future__ import annotations

from collections.abc import Collection

import falcon
import msgspec

from hydria.api.faults import UnknownMediaType
from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.model.resource import bad_value, unknown_attributes

_JSON = frozenset({"application/json", "text/javascript", "application/javascript"})


def read(req: falcon.Request, root: str, argument: str, limit: int) -> object:
    """The value below the root key.

    argument: what messages call the body. limit: bytes that it may have, where its length was not announced.
    """
    text = _bytes(req, limit)
    if not text:
        raise Invalid(f'Missing argument: "{argument}"')
    # A body without a type is refused as well: browsers can send those to any address.
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type not in _JSON:
        raise UnknownMediaType(kinds.shown(media_type))
    try:
        envelope = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("Request is not in valid JSON format") from None
    if not isinstance(envelope, dict):
        raise bad_value(argument, envelope, f'Expected an object with the key "{root}".')
    unknown = [name for name in envelope if name != root]
    if unknown:
        raise unknown_attributes(argument, unknown)
    if envelope.get(root) is None:
        raise bad_value(root, None, "Mandatory field missing.")
    return envelope[root]


def no_arguments(req: falcon.Request, allowed: Collection[str] = ()) -> None:
    """Refuse query parameters of requests that have none."""
    for name in req.params:
        if name not in allowed:
            raise Invalid(f'Unknown argument: "{kinds.shown(name)}"')


def flag(req: falcon.Request, name: str) -> bool:
    """A query parameter that is a boolean, false when it is not there."""
    value = req.params.get(name, "False")
    try:
        return kinds.Boolean().parse(value)
    except kinds.BadValue as refusal:
        raise bad_value(name, value, str(refusal)) from None


def _bytes(req: falcon.Request, limit: int) -> bytes:
    if req.content_length is None and req.env.get("wsgi.input_terminated"):
        text: bytes = req.stream.read(limit + 1)
        if len(text) > limit:
            raise falcon.HTTPContentTooLarge(description=too_large(limit))
        return text
    return req.bounded_stream.read()


def too_large(limit: int) -> str:
    """What to say about longer bodies."""
    return f"Request is too large: its body may have {limit} bytes."
