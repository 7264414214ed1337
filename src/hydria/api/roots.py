"""Other services that Hydria stands in for on one machine, each at a root of its own, for the catalog.

Their paths, their version documents, and their errors' bodies are those that the services' own clients read.
"""

from __future__ import annotations

from collections.abc import Mapping

import falcon
import msgspec

from hydria.settings import ApiSettings

NETWORK, KEY_MANAGER = "/network", "/key-manager"
# Root -> id and status of its only version.
_VERSIONS: Mapping[str, tuple[str, str]] = {NETWORK: ("v2.0", "CURRENT"), KEY_MANAGER: ("v1", "stable")}


def of(path: str) -> str:
    """The root that a path is below; "" for the load-balancing API."""
    root = f"/{path.removeprefix('/').partition('/')[0]}"
    return root if root in _VERSIONS else ""


def versioned(root: str) -> str:
    """Where the version of a service is."""
    return f"{root}/{_VERSIONS[root][0]}"


def base_url(settings: ApiSettings, req: falcon.Request) -> str:
    """Where links point, without a path."""
    return settings.api_base_uri.rstrip("/") or req.prefix


class Version:
    """``/network`` and ``/network/v2.0``, ``/key-manager`` and ``/key-manager/v1``; needs no identity."""

    def __init__(self, settings: ApiSettings, root: str) -> None:
        self._settings = settings
        self._root = root

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the versions, or show the one of the path."""
        name, status = _VERSIONS[self._root]
        href = f"{base_url(self._settings, req)}{versioned(self._root)}/"
        version = {"id": name, "status": status, "links": [{"rel": "self", "href": href}]}
        whole = req.path == self._root
        resp.data = msgspec.json.encode({"versions": [version]} if whole else {"version": version})


# Where nobody asks who asks; clients look for versions before they log in.
VERSION_PATHS = frozenset(
    f"{path}{slash}" for root in _VERSIONS for path in (root, versioned(root)) for slash in ("", "/")
)
