"""Changes of requests and responses that L7 policies order, as HAProxy's rules.

They are made when all policies have been tried, so that rules compare what the client has sent, whatever
policies before have ordered. Until then a variable notes which ones matched. Responses change last of all, so
that the load balancer's own are among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hydria.dataplane.haproxy.token import literal
from hydria.dataplane.haproxy.writer import Section
from hydria.model.l7policy import L7Policy
from hydria.model.modification import Direction, FixedResponse, HeaderChange, Operation, UrlRewrite

_RULES = {Direction.REQUEST: "http-request", Direction.RESPONSE: "http-after-response"}
_VERBS = {Operation.SET: "set-header", Operation.ADD: "add-header", Operation.REMOVE: "del-header"}
_TEXT = "text/plain"


def answer(response: FixedResponse) -> Iterator[str | int]:
    """The response as an action."""
    yield from ("return", "status", response.status)
    if response.body is not None:
        yield from ("content-type", response.content_type or _TEXT, "string", response.body)


def note(number: int) -> tuple[str, ...]:
    """The action that says that the policy of this number matches."""
    return f"set-var({_variable(number)})", "bool(true)"


def modify(section: Section, number: int, policy: L7Policy) -> None:
    """Make a policy's changes, if it matched."""
    condition = ("if", "{", f"var({_variable(number)})", "-m", "bool", "}")
    for change in policy.header_changes or ():
        section.add(_RULES[change.direction], *_header(change), *condition)
    if policy.url_rewrite is not None:
        section.add("http-request", "replace-path", *_path(policy.url_rewrite), *condition)


def _header(change: HeaderChange) -> Iterator[str]:
    yield from (_VERBS[change.operation], change.name)
    if change.value is not None:
        yield literal(change.value)


def _path(rewrite: UrlRewrite) -> tuple[str, str]:
    """The regular expression that the path has to match, and what it becomes as a whole."""
    prefix, replacement = rewrite.prefix.rstrip("/"), rewrite.replacement.rstrip("/")
    escaped = re.sub(r"[^A-Za-z0-9/]", r"\\\g<0>", prefix)
    if replacement:
        return f"^{escaped}(/.*)?$", literal(replacement) + r"\1"
    return f"^{escaped}(?:/(.*)|$)", r"/\1"


def _variable(number: int) -> str:
    return f"txn.modified{number}"
