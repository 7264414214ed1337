"""Conditional requests (RFC 9110, section 13): ETags, and what depends on them.

An object's ETag has two halves. The first one names what requests can set of it, the second one the whole
answer, statuses and times included. ``If-None-Match`` compares both, so that who waits for a status sees it
change. ``If-Match`` compares the first half alone: that the data plane has followed meanwhile is no reason to
refuse a change, that somebody else has changed the object is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from http import HTTPStatus

import falcon
import msgspec
import sqlalchemy as sa

from hydria.api import views
from hydria.api.call import Call
from hydria.model import kinds
from hydria.model.errors import Changed, Invalid
from hydria.model.resource import Declared, attributes, wire_name
from hydria.store import relations

_ANY = "*"
# Commas may stand in a tag, so a list is not simply cut at them. Weak tags equal none (section 8.8.3.2).
_TAG = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_LIST = re.compile(rf"[ \t]*{_TAG}[ \t]*(?:,[ \t]*(?:{_TAG}[ \t]*)?)*")
_ENCODER = msgspec.json.Encoder(order="deterministic")


def digest(data: bytes) -> str:
    """What tells one version of something from another."""
    return blake2b(data, digest_size=9).hexdigest()


def tag(resource: type[Declared], shown: Mapping[str, object], answer: bytes) -> str:
    """The ETag of an answer; ``shown``: the object in full, also where the answer has a part of it."""
    return f"{_settable(resource, shown)}-{digest(answer)}"


def answer(req: falcon.Request, resp: falcon.Response, body: bytes, tag: str) -> None:
    """Answer a GET with a body of this tag, or say that the client has it already."""
    resp.set_header("ETag", f'"{tag}"')
    if any(known in (_ANY, tag) for known in req.if_none_match or ()):
        resp.status = HTTPStatus.NOT_MODIFIED
    else:
        resp.data = body


def parse(text: str | None) -> frozenset[str] | None:
    """The tags that an If-Match header names, or None when there is no such header."""
    if text is None:
        return None
    if text.strip() == _ANY:
        return frozenset({_ANY})
    if not _LIST.fullmatch(text):
        raise Invalid(
            f'The header If-Match is neither * nor a list of ETags in double quotes: "{kinds.shown(text)}".'
        )
    return frozenset(named for weak, named in re.findall(_TAG, text) if not weak)


def require(call: Call, tx: sa.Connection, item: Declared) -> None:
    """Raise Changed unless a locked object is, as far as requests can set it, what If-Match names.

    Asks the database only when there is such a header.
    """
    if call.if_match is None or _ANY in call.if_match:
        return
    resource = type(item)
    key = str(getattr(item, resource.key))
    shown = views.body(item, relations.of(tx, resource, [key])[key])
    now = _settable(resource, shown)
    if all(known.partition("-")[0] != now for known in call.if_match):
        raise Changed(
            f"{resource.label} {key} is not any more as If-Match has it. Read it again, and repeat the"
            " change with the ETag that it has now."
        )


def refuse(call: Call, what: str) -> None:
    """Raise Changed when a request to something without an ETag depends on one."""
    if call.if_match is not None and _ANY not in call.if_match:
        raise Changed(f"{what} has no ETag, so none equals that of If-Match. Leave the header out.")


def _settable(resource: type[Declared], shown: Mapping[str, object]) -> str:
    values = {key: _plain(shown[key]) for key in _keys(resource) if key in shown}
    if "tags" in values:
        values["tags"] = sorted(shown["tags"])  # type: ignore[call-overload]  # a list; a new object has its own order
    return digest(_ENCODER.encode(values))


@cache
def _keys(resource: type[Declared]) -> tuple[str, ...]:
    return tuple(wire_name(name, it) for name, it in attributes(resource).items() if it.update and it.shown)


def _plain(value: object) -> object:
    """A value as JSON has it, whether it comes as text from the database or from an object at hand."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    return value
