"""The path of a request as rules and rate limits judge it: in the one form that all its spellings have.

``//admin``, ``/./admin``, ``/x/../admin`` and ``/%61dmin`` are ``/admin`` to most servers (RFC 3986, sections
6.2.2.2 and 6.2.2.3). HAProxy brings the request into that form, a variable keeps it, and the request becomes
what it was again: members get what the client has sent. The query stays as it is.
"""

from __future__ import annotations

import re

from hydria.dataplane.haproxy.writer import Section

NORMAL = "txn.normal"  # the path in its normal form
WRITTEN = "txn.written"  # as the client wrote it, where it may be another one
_SENT = "txn.sent"
_SUSPICIOUS = ("{", "path", "-m", "sub", "--", "%", "//", "/.", "}")
_CHANGED = ("if", "{", f"var({_SENT})", "-m", "found", "}")
_STEPS = (("path-merge-slashes",), ("path-strip-dot",), ("path-strip-dotdot", "full"))
_UNRESERVED = re.compile(r"%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")


def keep(section: Section) -> None:
    """Add what fills the variables to a frontend, before anything looks at them."""
    section.add("http-request", f"set-var({WRITTEN})", "path", "if", *_SUSPICIOUS)
    section.add("http-request", f"set-var({_SENT})", "pathq", "if", *_SUSPICIOUS)
    # HAProxy 2.6 takes a condition here for the name of another step. It changes nothing without a "%".
    section.add("http-request", "normalize-uri", "percent-decode-unreserved")
    for step in _STEPS:
        section.add("http-request", "normalize-uri", *step, *_CHANGED)
    section.add("http-request", f"set-var({NORMAL})", "path")
    section.add("http-request", "set-pathq", f"%[var({_SENT})]", *_CHANGED)


def normal(path: str) -> str:
    """The same form of a path that rules name."""
    path = _UNRESERVED.sub(lambda found: chr(int(found[0][1:], 16)), path)
    kept: list[str] = []
    parts = re.sub("//+", "/", path).split("/")[1:]
    for place, part in enumerate(parts):
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
            continue
        if place == len(parts) - 1:
            kept.append("")  # what is meant is a directory
    return "/" + "/".join(kept)
