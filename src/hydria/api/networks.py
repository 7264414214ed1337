"""Networks to read, in Neutron's words, where Hydria has networks of its own.

On one machine there is no Neutron, but clients look up there what ``--vip-subnet-id`` and
``--vip-network-id`` name before they order anything, and Horizon wants to know of ports and floating IPs as
well. They find it below ``/network``; who has one endpoint for everything asks below the version of the
load-balancing API. A cloud's controllers do not serve these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from urllib.parse import urlencode

import falcon
import msgspec

from hydria.api import listing, plain_lists, policy, reading, roots
from hydria.api.call import Call, Services
from hydria.api.listing import Params
from hydria.api.plain_lists import Item
from hydria.drivers.network.interface import FixedAddress, Network, Port, Subnet
from hydria.model import kinds
from hydria.model.errors import Invalid, NotFound
from hydria.store import vips

# Whoever may look at load balancers may know where they can be; Neutron has rules of its own.
_RULE = "loadbalancer:get_all"
_PLACE = ("limit", "marker", "page_reverse")
# No object here has tags.
_APART = frozenset({*_PLACE, "sort_key", "sort_dir", "fields", "fixed_ips", "not-tags", "not-tags-any"})


class NetworkList:
    """A list with items below it. ``kind``: what an item is called; ``keys``: what lists are sorted by."""

    kind: str
    label: str
    keys: Collection[str] = ()

    def __init__(self, services: Services) -> None:
        self._services = services
        self._network = services.network

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str = "") -> None:
        """List them, or show the one named."""
        settings = self._services.settings.api_settings
        base_url = roots.base_url(settings, req)
        items = list(self._items(Call(self._services, req.context.caller, base_url), req.params))
        wanted = listing.fields(settings, req.params)
        if identifier:
            shown = reading.reduced(dict(self._item(items, identifier)), wanted)
            resp.data = msgspec.json.encode({self.kind: shown})
            return
        page, links = self._page(items, req.params, f"{base_url}{req.path}")
        answer: dict[str, object] = {f"{self.kind}s": [reading.reduced(dict(item), wanted) for item in page]}
        if links:
            answer[f"{self.kind}s_links"] = links
        resp.data = msgspec.json.encode(answer)

    def _items(self, call: Call, params: Params) -> Iterable[Item]:
        """All that the caller may see, each time in the same order."""
        raise NotImplementedError

    def _item(self, items: Iterable[Item], identifier: str) -> Item:
        found = next((item for item in items if item["id"] == identifier), None)
        if found is None:
            raise NotFound(self.label, kinds.shown(identifier))
        return found

    def _page(
        self, items: Iterable[Item], params: Params, url: str
    ) -> tuple[list[Item], list[dict[str, str]]]:
        """The items of a page, and links to its neighbors. The marker need not pass the filters."""
        found = plain_lists.ordered(items, _order(params), self.keys)
        limit = 0 if params.get("limit") == "infinite" else plain_lists.number(params, "limit")
        if longest := listing.longest_page(self._services.settings.api_settings):
            limit = min(limit or longest, longest)
        backwards = listing.reverse(params)
        behind: list[Item] = []
        if "marker" in params:
            marker = found.index(self._item(found, str(params["marker"])))
            behind = found[marker:] if backwards else found[: marker + 1]
            found = found[:marker] if backwards else found[marker + 1 :]
        found, behind = _matching(found, params), _matching(behind, params)
        if not limit:
            return found, []
        page = found[-limit:] if backwards else found[:limit]
        ahead = len(found) > len(page)
        links = []
        if page and (bool(behind) if backwards else ahead):
            links.append(_link("next", params, limit, url, str(page[-1]["id"])))
        if page and (ahead if backwards else bool(behind)):
            links.append(_link("previous", params, limit, url, str(page[0]["id"])))
        return page, links


def _order(params: Params) -> list[tuple[str, bool]]:
    keys, directions = (plain_lists.many(params, name) for name in ("sort_key", "sort_dir"))
    if len(directions) > len(keys):
        raise Invalid("There are more of sort_dir than of sort_key: give a direction for each key, or none.")
    directions += [""] * (len(keys) - len(directions))
    return list(zip(keys, map(plain_lists.downwards, directions), strict=True))


def _matching(items: Iterable[Item], params: Params) -> list[Item]:
    found = plain_lists.matching(items, params, _APART)
    addresses = [text.partition("=")[::2] for text in plain_lists.many(params, "fixed_ips")]
    for key in dict.fromkeys(key for key, _ in addresses):
        wanted = [value for name, value in addresses if name == key]
        found = [item for item in found if _has_address(item, key, wanted)]
    return found


def _has_address(item: Item, key: str, wanted: Collection[str]) -> bool:
    """Whether one of an item's fixed IPs has one of these values (``ip_address=…``, ``subnet_id=…``)."""
    fixed: list[dict[str, str]] = item.get("fixed_ips", [])  # type: ignore[assignment]  # as _port makes them
    return any(each.get(key) in wanted for each in fixed)


def _link(rel: str, params: Params, limit: int, url: str, marker: str) -> dict[str, str]:
    others = [
        (name, text) for name in params if name not in _PLACE for text in plain_lists.many(params, name)
    ]
    arguments = [("limit", str(limit)), *others, ("marker", marker)]
    if rel == "previous":
        arguments.append(("page_reverse", "True"))
    return {"rel": rel, "href": f"{url}?{urlencode(arguments)}"}


def _network(network: Network) -> Item:
    return {
        "id": network.id,
        "name": network.name,
        "description": "",
        "project_id": "",  # nobody's, and everybody's to use
        "tenant_id": "",
        "subnets": list(network.subnet_ids),
        "mtu": network.mtu,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": True,
        "router:external": False,
        "port_security_enabled": network.port_security,
    }


def _subnet(subnet: Subnet) -> Item:
    pools = [{"start": subnet.pool[0], "end": subnet.pool[1]}] if subnet.pool else []
    return {
        "id": subnet.id,
        "name": subnet.name,
        "description": "",
        "project_id": "",
        "tenant_id": "",
        "network_id": subnet.network_id,
        "cidr": subnet.cidr,
        "ip_version": subnet.version,
        "gateway_ip": subnet.gateway or None,
        "enable_dhcp": False,
        "allocation_pools": pools,
        "dns_nameservers": [],
        "host_routes": [],
    }


def _port(port: Port, project_id: str) -> Item:
    return {
        "id": port.id,
        "name": port.name,
        "description": "",
        "project_id": project_id,
        "tenant_id": project_id,
        "network_id": port.network_id,
        "mac_address": port.mac,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.address} for each in port.addresses],
        "device_id": port.device_id or port.owner,
        "device_owner": "Octavia",  # what clients of Octavia know VIPs by
        "status": "ACTIVE",
        "admin_state_up": True,
        "security_groups": [],
        "allowed_address_pairs": [],
    }


def _plain(sample: Item) -> tuple[str, ...]:
    """The keys that lists can be sorted by."""
    return tuple(key for key, value in sample.items() if not isinstance(value, list))


class Networks(NetworkList):
    """``/networks`` and ``/networks/{identifier}``."""

    kind, label = "network", "Network"
    keys = _plain(_network(Network("", "", ())))

    def _items(self, call: Call, params: Params) -> Iterator[Item]:  # noqa: ARG002  (as all)
        policy.authorize(call, _RULE)
        yield from map(_network, self._network.networks())


class Subnets(NetworkList):
    """``/subnets`` and ``/subnets/{identifier}``."""

    kind, label = "subnet", "Subnet"
    keys = _plain(_subnet(Subnet("", "", "", "")))

    def _items(self, call: Call, params: Params) -> Iterator[Item]:  # noqa: ARG002  (as all)
        policy.authorize(call, _RULE)
        for network in self._network.networks():
            for subnet_id in network.subnet_ids:
                yield _subnet(self._network.subnet(subnet_id))


class Ports(NetworkList):
    """``/ports`` and ``/ports/{identifier}``: those of the VIPs that the caller may see."""

    kind, label = "port", "Port"
    keys = _plain(_port(Port("", "", "", "", "", (FixedAddress("", ""),)), ""))

    def _items(self, call: Call, params: Params) -> Iterator[Item]:
        asked = params.get("project_id", params.get("tenant_id"))
        project_id = policy.listed_project(call, _RULE, asked if isinstance(asked, str) else None)
        with call.services.store.read() as tx:
            owners = vips.owners(tx, project_id)
        for port in sorted(self._network.ports(), key=lambda each: each.id):
            if port.id in owners:
                yield _port(port, owners[port.id])


class FloatingIps(NetworkList):
    """``/floatingips``: none, for nothing here translates addresses."""

    kind, label = "floatingip", "Floating IP"
    keys = (
        "id", "project_id", "tenant_id", "status", "description", "floating_ip_address", "fixed_ip_address",
        "floating_network_id", "port_id", "router_id",
    )  # fmt: skip

    def _items(self, call: Call, params: Params) -> Iterable[Item]:  # noqa: ARG002  (as all)
        policy.authorize(call, _RULE)
        return ()


class NetworkExtensions:
    """``/network/v2.0/extensions`` and ``/network/v2.0/extensions/{alias}``: none of Neutron's."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, alias: str = "") -> None:
        """List them, or say that there is none of this alias."""
        if alias:
            raise NotFound("Extension", kinds.shown(alias))
        resp.data = msgspec.json.encode({"extensions": []})


def routes(services: Services) -> Iterator[tuple[str, object]]:
    """Path below ``/network/v2.0`` -> endpoint."""
    found: tuple[NetworkList, ...] = (
        Networks(services), Subnets(services), Ports(services), FloatingIps(services),
    )  # fmt: skip
    for endpoint in found:
        yield f"/{endpoint.kind}s", endpoint
        yield f"/{endpoint.kind}s/{{identifier}}", endpoint
    extensions = NetworkExtensions()
    yield "/extensions", extensions
    yield "/extensions/{alias}", extensions


def shared(routes: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Those that the load-balancing API has as well; its extensions are others."""
    return (route for route in routes if not isinstance(route[1], NetworkExtensions))
