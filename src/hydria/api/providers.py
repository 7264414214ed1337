"""Providers and what their flavors and availability zones can say (contract 1.18)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import falcon
import msgspec

from hydria.api import listing, policy
from hydria.api.call import Call, Services
from hydria.api.endpoints import Endpoint
from hydria.api.listing import Params
from hydria.model.provider import Provider


class Providers(Endpoint):
    """``/providers``"""

    root = Provider.plural

    def __init__(self, services: Services) -> None:
        super().__init__(services, Provider)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the providers that new load balancers can choose."""
        call = self._call(req)
        policy.authorize(call, "provider:get_all")
        _answer(call, req, resp, self.root, call.services.providers.usable)


class Capabilities(Endpoint):
    """``/providers/{provider}/flavor_capabilities``, and the same of availability zones.

    kind: ``flavor`` or ``availability_zone``.
    """

    def __init__(self, services: Services, kind: str) -> None:
        super().__init__(services, Provider)
        self.root = f"{kind}_capabilities"
        self._rule = f"provider-{kind.replace('_', '-')}:get_all"
        self._method = f"get_supported_{kind}_metadata"

    def on_get(self, req: falcon.Request, resp: falcon.Response, provider: str) -> None:
        """List the keys that its profiles can have."""
        call = self._call(req)
        policy.authorize(call, self._rule)
        supported = call.services.providers.choose(provider).call(self._method)
        _answer(call, req, resp, self.root, dict(supported))


def _answer(
    call: Call, req: falcon.Request, resp: falcon.Response, root: str, items: Mapping[str, object]
) -> None:
    resp.data = msgspec.json.encode({root: list(_selected(call, req.params, items))})


def _selected(call: Call, params: Params, items: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The items that the request asks for, reduced to the keys that it asks for."""
    settings = call.services.settings.api_settings
    keys = Provider.__struct_fields__
    filters = listing.equal(settings, params, keys)
    wanted = listing.fields(settings, params) or keys
    for name, description in items.items():
        item = {"name": name, "description": description}
        if all(item[key] == value for key, value in filters.items()):
            yield {key: item[key] for key in wanted if key in item}
