"""The operations below the roots of other services (api/roots.py): as much as there is of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from hydria.api import roots
from hydria.api.openapi.answers import NEUTRON_FAULT, answer
from hydria.api.openapi.fixed import LINKS
from hydria.api.openapi.queries import flag, parameter
from hydria.api.openapi.schemas import Schema, closed, enveloped

if TYPE_CHECKING:
    from hydria.api.openapi.operations import Route

TAGS = {roots.NETWORK: "Network service", roots.KEY_MANAGER: "Key manager"}
FAULTS = {roots.NETWORK: NEUTRON_FAULT, roots.KEY_MANAGER: "RoutingError"}
NAME: Schema = {"type": "string", "minLength": 1}

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_ID: Schema = {"type": "string", "format": "uuid"}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_NONE: Schema = {"type": "null"}
_MOMENT: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"}
_OF_ALL: Mapping[str, Schema] = {
    "id": _ID, "name": _TEXT, "description": _TEXT, "project_id": _TEXT, "tenant_id": _TEXT,
}  # fmt: skip


def _objects(*keys: str) -> Schema:
    return {"type": "array", "items": closed(dict.fromkeys(keys, _TEXT), keys)}


_NETWORK: Mapping[str, Schema] = {
    **_OF_ALL, "subnets": {"type": "array", "items": _ID}, "mtu": _NUMBER, "status": _TEXT,
    "admin_state_up": _FLAG, "shared": _FLAG, "router:external": _FLAG, "port_security_enabled": _FLAG,
}  # fmt: skip
_SUBNET: Mapping[str, Schema] = {
    **_OF_ALL, "network_id": _ID, "cidr": _TEXT, "ip_version": {"enum": [4, 6]},
    "gateway_ip": {"type": ["string", "null"]}, "enable_dhcp": _FLAG,
    "allocation_pools": _objects("start", "end"), "dns_nameservers": _TEXTS,
    "host_routes": _objects("destination", "nexthop"),
}  # fmt: skip
_PORT: Mapping[str, Schema] = {
    **_OF_ALL, "network_id": _ID, "mac_address": _TEXT, "fixed_ips": _objects("subnet_id", "ip_address"),
    "device_id": _TEXT, "device_owner": _TEXT, "status": _TEXT, "admin_state_up": _FLAG,
    "security_groups": _TEXTS, "allowed_address_pairs": _objects("ip_address", "mac_address"),
}  # fmt: skip
_FLOATING_IP: Mapping[str, Schema] = {"id": _ID}
_COMMON: Mapping[str, Schema] = {
    "name": _TEXT, "status": {"const": "ACTIVE"}, "created": _MOMENT, "updated": _MOMENT, "creator_id": _NONE,
    "consumers": _TEXTS,
}  # fmt: skip
_SECRET: Mapping[str, Schema] = {
    "secret_ref": _TEXT, "secret_type": {"const": "certificate"}, "expiration": {"anyOf": [_MOMENT, _NONE]},
    "algorithm": _NONE, "bit_length": _NONE, "mode": _NONE, **_COMMON,
}  # fmt: skip
_CONTAINER: Mapping[str, Schema] = {
    "container_ref": _TEXT, "type": {"const": "certificate"}, "secret_refs": _objects("name", "secret_ref"),
    **_COMMON,
}  # fmt: skip


def versions(route: Route) -> Schema:
    """The versions of the service, or the one of the path."""
    service = TAGS[roots.of(route.path)]
    link = closed({"rel": {"const": "self"}, "href": _TEXT}, ["rel", "href"])
    version = closed(
        {"id": _TEXT, "status": _TEXT, "links": {"type": "array", "items": link}}, ["id", "status", "links"]
    )
    whole = roots.of(route.path) == route.path
    body = (
        enveloped("versions", {"type": "array", "items": version}) if whole else enveloped("version", version)
    )
    name = f"{'list' if whole else 'show'}_{service.lower().replace(' ', '_')}_version"
    return route.operation(
        f"{service}: {'list its versions' if whole else 'show this version'}",
        name,
        {HTTPStatus.OK: answer("Its only one.", body)},
        failures=(HTTPStatus.NOT_ACCEPTABLE,),
    )


def networks(route: Route) -> Schema:
    """Lists of Neutron, and items of them."""
    kind, called, schema = _KINDS[route.path.split("/")[3]]
    fields = parameter("fields", _TEXTS, "Answer with these keys alone; may be repeated.")
    item = route.components.ref(called, lambda: closed(dict(schema), list(schema)))
    some = route.components.ref(f"{called}Fields", lambda: closed(dict(schema)))
    either: Schema = {"anyOf": [item, some]}
    if route.path.endswith("}"):
        found = {HTTPStatus.OK: answer("It.", enveloped(kind, either))} if schema is not _FLOATING_IP else {}
        return route.operation(f"Show a {kind}", f"show_{kind}", found, parameters=[fields])
    body = closed({f"{kind}s": {"type": "array", "items": either}, f"{kind}s_links": LINKS}, [f"{kind}s"])
    return route.operation(
        f"List {kind}s",
        f"list_{kind}s",
        {HTTPStatus.OK: answer("All of them, or a page.", body)},
        parameters=[*_neutron_query(schema), fields],
    )


def extensions(route: Route) -> Schema:
    """Neutron's extensions, of which there are none."""
    if route.path.endswith("}"):
        return route.operation("Show an extension: there is none", "show_network_extension", {})
    none: Schema = {"type": "array", "maxItems": 0}
    found = {HTTPStatus.OK: answer("None.", enveloped("extensions", none))}
    return route.operation("List the extensions of Neutron: there are none", "list_network_extensions", found)


def secrets(route: Route) -> Schema:
    """Lists of Barbican, and items of them."""
    root = route.path.split("/")[3]
    schema = {"secrets": _SECRET, "containers": _CONTAINER}[root]
    one = root.removesuffix("s")
    item = route.components.ref(one.capitalize(), lambda: closed(dict(schema), list(schema)))
    if route.path.endswith("}"):
        return route.operation(
            f"Show a {one}, without its payload", f"show_{one}", {HTTPStatus.OK: answer("It.", item)}
        )
    place = {"total": _NUMBER, "next": _TEXT, "previous": _TEXT}
    body = closed({root: {"type": "array", "items": item}, **place}, [root, "total"])
    return route.operation(
        f"List the {root} of the caller's project",
        f"list_{root}",
        {HTTPStatus.OK: answer("A page of them.", body)},
        parameters=list(_barbican_query("secret_type" if root == "secrets" else "type")),
    )


def payload(route: Route) -> Schema:
    """What is given to nobody."""
    return route.operation("Refuse the payload of a secret", "show_secret_payload", {})


def _neutron_query(schema: Mapping[str, Schema]) -> Iterator[Schema]:
    for name, kind in schema.items():
        if kind.get("type") != "array":
            plain = kind if kind is _FLAG else _TEXT
            yield parameter(name, plain, f"Only with this {name}; may be repeated.")
    if "fixed_ips" in schema:
        pattern: Schema = {"type": "string", "pattern": "^(?:ip_address|subnet_id)=[0-9a-f.:-]+$"}
        yield parameter("fixed_ips", pattern, "Only with this ip_address=… or subnet_id=….")
    keys = [name for name, kind in schema.items() if kind.get("type") != "array"]
    yield parameter("sort_key", {"enum": keys}, "What the list is sorted by; may be repeated.")
    yield parameter("sort_dir", {"enum": ["asc", "desc"]}, "The direction for each of sort_key.")
    yield parameter("limit", _NUMBER, "The length of a page; 0 for the whole list.")
    yield parameter("marker", _ID, "The id of the object that the page starts behind.")
    yield flag("page_reverse", "The page that ends before the marker.")


def _barbican_query(kind: str) -> Iterator[Schema]:
    yield parameter("name", _TEXT, "Only with this name.")
    yield parameter(kind, {"const": "certificate"}, "Only of this type; there is no other.")
    yield parameter("limit", _NUMBER, "The length of a page, at most 100.")
    yield parameter("offset", _NUMBER, "How many to leave out.")
    keys = "(?:created|expiration|name|status|updated)(?::(?:asc|desc))?"
    yield parameter(
        "sort", {"type": "string", "pattern": f"^{keys}(?:,{keys})*$"}, "Keys, with :asc or :desc."
    )


_KINDS: Mapping[str, tuple[str, str, Mapping[str, Schema]]] = {
    "networks": ("network", "Network", _NETWORK),
    "subnets": ("subnet", "Subnet", _SUBNET),
    "ports": ("port", "Port", _PORT),
    "floatingips": ("floatingip", "FloatingIP", _FLOATING_IP),
}
