"""Networks and subnets to read, in Neutron's words, where Hydria has networks of its own.

On one machine there is no Neutron, but the openstack client looks up there what ``--vip-subnet-id`` and
``--vip-network-id`` name before it orders anything. With one endpoint for everything it asks us, and gets its
answer here. A cloud's controllers do not serve these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import falcon
import msgspec

from hydria.api import policy
from hydria.api.call import Call, Services
from hydria.drivers.network.interface import Network, Subnet
from hydria.model import kinds
from hydria.model.errors import NotFound

# Whoever may look at load balancers may know where they can be; Neutron has rules of its own.
_RULE = "loadbalancer:get_all"


class _Read:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._network = services.network

    def _authorize(self, req: falcon.Request) -> None:
        policy.authorize(Call(self._services, req.context.caller, req.prefix), _RULE)


class Networks(_Read):
    """``/networks`` and ``/networks/{identifier}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str = "") -> None:
        """List networks, or show the one named."""
        self._authorize(req)
        _answer(req, resp, "network", map(_network, self._network.networks()), identifier)


class Subnets(_Read):
    """``/subnets`` and ``/subnets/{identifier}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str = "") -> None:
        """List subnets, or show the one named."""
        self._authorize(req)
        _answer(req, resp, "subnet", self._subnets(), identifier)

    def _subnets(self) -> Iterator[dict[str, object]]:
        for network in self._network.networks():
            for subnet_id in network.subnet_ids:
                yield _subnet(self._network.subnet(subnet_id))


def _answer(
    req: falcon.Request, resp: falcon.Response, kind: str, items: Iterable[dict[str, object]], identifier: str
) -> None:
    found = list(items)
    if identifier:
        shown = next((item for item in found if item["id"] == identifier), None)
        if shown is None:
            raise NotFound(kind.capitalize(), kinds.shown(identifier))
        resp.data = msgspec.json.encode({kind: shown})
        return
    for name in ("id", "name"):
        wanted = req.params.get(name)
        if wanted is not None:
            found = [item for item in found if item[name] == wanted]
    resp.data = msgspec.json.encode({f"{kind}s": found})


def _network(network: Network) -> dict[str, object]:
    return {
        "id": network.id,
        "name": network.name,
        "subnets": list(network.subnet_ids),
        "mtu": network.mtu,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": True,
    }


def _subnet(subnet: Subnet) -> dict[str, object]:
    return {
        "id": subnet.id,
        "name": subnet.name,
        "network_id": subnet.network_id,
        "cidr": subnet.cidr,
        "ip_version": subnet.version,
        "gateway_ip": subnet.gateway or None,
    }
