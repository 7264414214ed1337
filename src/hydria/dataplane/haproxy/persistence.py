"""Session persistence as HAProxy's rules (contract 1.12), such that members can still be added live."""

from __future__ import annotations

from hydria.dataplane.haproxy.process import PEERS
from hydria.dataplane.haproxy.token import call, plain
from hydria.dataplane.haproxy.writer import Section
from hydria.dataplane.tuning import Tuning
from hydria.model.pool import SessionPersistence
from hydria.model.statuses import PersistenceType
from hydria.wire.capabilities import Capabilities, Capability
from hydria.wire.proxies import STAND_IN

_COOKIE = "SRV"
_KEY_LENGTH = 64


def uses_table(persistence: SessionPersistence | None, mode: str) -> bool:
    """Whether it needs a stick table, and so peers to keep it over a reload."""
    return persistence is not None and (
        persistence.type is PersistenceType.SOURCE_IP
        or (persistence.type is PersistenceType.APP_COOKIE and mode == "http")
    )


def persist(
    section: Section,
    persistence: SessionPersistence,
    mode: str,
    tuning: Tuning,
    capabilities: Capabilities,
) -> None:
    """Add a pool's session persistence to its backend.

    Cookies are nothing that a TCP backend sees: the API takes them there, as Octavia's does, to no effect.
    """
    if persistence.type is PersistenceType.SOURCE_IP:
        # The type holds both families: an IPv4 address becomes an IPv4-mapped one.
        _table(section, ("ipv6",), tuning)
        section.add("stick", "on", f"src,{tuning.client_mask}")
    elif mode == "http" and persistence.type is PersistenceType.APP_COOKIE:
        cookie = persistence.cookie_name or ""
        _table(section, ("string", "len", str(_KEY_LENGTH)), tuning)
        section.add("stick", "store-response", call("res.cook", cookie))
        section.add("stick", "match", call("req.cook", cookie))
    elif mode == "http" and Capability.SERVER_COOKIES in capabilities:
        section.add("cookie", _COOKIE, "insert", "indirect", "nocache")
    elif mode == "http":
        _member_cookie(section)


def server_words(
    persistence: SessionPersistence | None, mode: str, member_id: str, capabilities: Capabilities
) -> tuple[str, ...]:
    """What a server says of the cookie that leads to it; one that stands in for another says the same."""
    cookies = persistence is not None and persistence.type is PersistenceType.HTTP_COOKIE
    if cookies and mode == "http" and Capability.SERVER_COOKIES in capabilities:
        return "cookie", plain(member_id)
    return ()


def _table(section: Section, kind: tuple[str, ...], tuning: Tuning) -> None:
    section.add("stick-table", "type", *kind, "size", tuning.stick_size, "peers", PEERS)


def _member_cookie(section: Section) -> None:
    """What ``cookie SRV insert indirect nocache`` does, without its ``cookie`` word on each server.

    Before 3.0, HAProxy takes no server with that word while it runs. Here the cookie names the server itself:
    the client gets it with the first answer and whenever another member answered, and members never see it.
    """
    section.add("http-request", "set-var(txn.member)", call("req.cook", _COOKIE))
    only = f"^{_COOKIE}=[^;]*$"
    section.add(
        *("http-request", "del-header", "Cookie", "if"),
        *("{", "req.fhdr_cnt(Cookie)", "eq", 1, "}", "{", "req.fhdr(Cookie)", "-m", "reg", only, "}"),
    )
    first, later = rf"^{_COOKIE}=[^;]*;\s*(.*)$", rf"^(.*);\s*{_COOKIE}=[^;]*(.*)$"
    section.add("http-request", "replace-header", "Cookie", first, r"\1")
    section.add("http-request", "replace-header", "Cookie", later, r"\1\2")
    section.add("use-server", "%[var(txn.member)]", "if", "{", "var(txn.member)", "-m", "found", "}")
    name = f"srv_name,field(1,{STAND_IN})"  # also of one that stands in for it
    known = ("unless", "{", f"{name},strcmp(txn.member)", "eq", 0, "}")
    section.add("http-response", "add-header", "Set-Cookie", f"{_COOKIE}=%[{name}]; path=/", *known)
    section.add("http-response", "add-header", "Cache-Control", "private", *known)
