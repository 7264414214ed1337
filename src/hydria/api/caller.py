"""Who asks.

A strategy turns a request into a :class:`~hydria.api.call.Caller`, or raises. There is one so far; Keystone
and HTTP basic take their places in ``_STRATEGIES``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import falcon

from hydria.api.call import Caller
from hydria.model import kinds
from hydria.model.errors import Forbidden
from hydria.model.resource import bad_value
from hydria.settings import ApiSettings

Identify = Callable[[falcon.Request], Caller]

NOAUTH = "noauth"
DEFAULT_PROJECT = "default"


def identifier(settings: ApiSettings) -> Identify:
    """The strategy that ``[api_settings] auth_strategy`` names."""
    return _STRATEGIES[settings.auth_strategy]


def require_project(caller: Caller, project_id: str) -> None:
    """Raise Forbidden unless the caller may see objects of this project (contract 1.21)."""
    if not caller.admin and caller.project_id != project_id:
        raise forbidden()


def visible_project(caller: Caller, asked: str | None) -> str | None:
    """The project whose objects a list shows to the caller; None for those of all projects."""
    if caller.admin:
        return asked
    if not caller.project_id or asked not in (None, caller.project_id):
        raise forbidden()
    return caller.project_id


def forbidden() -> Forbidden:
    """The refusal in the words that clients know."""
    return Forbidden("Policy does not allow this request to be performed.")


def is_loopback(address: str) -> bool:
    """Whether only this host can be at an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _anybody(request: falcon.Request) -> Caller:
    """Whoever is on this host is the administrator.

    The server refuses to bind anything but loopback (api/serve.py); behind one that is not Hydria's own
    (hydria.wsgi) the address of the client is what tells. A Unix socket has none.
    """
    remote = request.env.get("REMOTE_ADDR", "")
    if remote not in ("127.0.0.1", "::1", "") and not is_loopback(remote):
        raise Forbidden(
            "Requests without identity ([api_settings] auth_strategy = noauth) are served on loopback alone."
        )
    project_id = request.env.get("HTTP_X_PROJECT_ID") or DEFAULT_PROJECT
    try:
        return Caller(kinds.PROJECT.parse(project_id), admin=True)
    except kinds.BadValue as refusal:
        raise bad_value("X-Project-Id", project_id, str(refusal)) from None


_STRATEGIES: dict[str, Identify] = {NOAUTH: _anybody}
