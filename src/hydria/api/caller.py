"""Who asks.

A strategy turns a request into a :class:`~hydria.api.call.Caller`, or raises.

Without identity, everything on this host is the administrator; a web page in a browser of this host is not of
this host (docs/adr/0003-names-without-identity.md).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from functools import partial
from urllib.parse import urlsplit

import falcon

from hydria.api.call import Caller
from hydria.api.roots import VERSION_PATHS
from hydria.model import alphabets, kinds
from hydria.model.errors import Forbidden
from hydria.model.resource import bad_value
from hydria.settings import Settings

Identify = Callable[[falcon.Request], Caller]

NOAUTH = "noauth"
KEYSTONE = "keystone"
HTTP_BASIC = "http_basic"
# Anybody may ask for the versions and whether the API is well (contract 1.1).
OPEN_PATHS = frozenset({"/", "/load-balancer/", "/healthcheck", "/load-balancer/healthcheck"}) | VERSION_PATHS
DEFAULT_PROJECT = "default"


def identifier(settings: Settings) -> Identify:
    """The strategy that ``[api_settings] auth_strategy`` names."""
    return _STRATEGIES[settings.api_settings.auth_strategy](settings)


def is_loopback(address: str) -> bool:
    """Whether only this host can be at an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _noauth(settings: Settings) -> Identify:
    options = settings.api_settings
    configured = {options.bind_host.lower()}
    if options.api_base_uri:
        configured.add(urlsplit(options.api_base_uri).hostname or "")
    return partial(_anybody, configured)


def _keystone(_settings: Settings) -> Identify:
    from hydria.api import keystone  # noqa: PLC0415  (what only this strategy needs is large)

    return keystone.identify


def _http_basic(settings: Settings) -> Identify:
    from hydria.api.http_basic import HttpBasic  # noqa: PLC0415  (the same)

    return HttpBasic(settings)


def _anybody(configured: Collection[str], request: falcon.Request) -> Caller:
    """Whoever is on this host is the administrator.

    The server refuses to bind anything but loopback (api/serve.py); behind one that is not Hydria's own
    (hydria.wsgi) the address of the client is what tells. A Unix socket has none.
    """
    remote = request.env.get("REMOTE_ADDR", "")
    if remote not in ("127.0.0.1", "::1", "") and not is_loopback(remote):
        raise Forbidden(
            "Requests without identity ([api_settings] auth_strategy = noauth) are served on loopback alone."
        )
    for header in ("HTTP_HOST", "HTTP_ORIGIN"):
        text = request.env.get(header, "")
        if text and not _is_here(text, configured):
            raise Forbidden(
                f"Without identity ([api_settings] auth_strategy = noauth) Hydria answers to localhost and"
                f" addresses of it, not to {kinds.shown(text)}: web pages could ask in the name of this host."
            )
    project_id = request.env.get("HTTP_X_PROJECT_ID") or DEFAULT_PROJECT
    try:
        return Caller(alphabets.PROJECT.parse(project_id), admin=True)
    except kinds.BadValue as refusal:
        raise bad_value("X-Project-Id", project_id, str(refusal)) from None


def _is_here(text: str, configured: Collection[str]) -> bool:
    """Whether ``host``, ``host:port`` or an origin is a name of this host that nobody else can take."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return False
    host = (found["v6"] or found["host"]).lower()
    return is_loopback(host) or host == "localhost" or host.endswith(".localhost") or host in configured


_AUTHORITY = re.compile(r"(?:https?://)?(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::[0-9]*)?")
_STRATEGIES: dict[str, Callable[[Settings], Identify]] = {
    NOAUTH: _noauth,
    KEYSTONE: _keystone,
    HTTP_BASIC: _http_basic,
}
