"""The document as a whole: every path that the application routes, once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hydria.api import roots
from hydria.api.openapi.answers import REQUEST_ID
from hydria.api.openapi.operations import Route, describe
from hydria.api.openapi.schemas import Components, Schema
from hydria.api.versions import CURRENT
from hydria.settings import ApiSettings

# Paths with endpoints, as the application was given them.
Routed = Sequence[tuple[str, object]]

PATH = "/openapi.json"
_METHODS = ("get", "head", "post", "put", "patch", "delete")
_DESCRIPTION = """\
Octavia's load-balancing API v2. Every path below `/v2` is served below `/v2.0` as well, those below
`/v2/lbaas` also directly below the version, and all of them, like discovery, below `/load-balancer`; `.json`
or a slash at the end of a path changes nothing. Requests are described in their canonical form: digits for
integers, `yes` and `no` for booleans and UUIDs without dashes are accepted, too.

On one machine, `/network` and `/key-manager` stand in for Neutron and Barbican, as far as clients of load
balancers read them; each path has this one name, but for networks, subnets, ports and floating IPs, which are
below the versions of the load-balancing API as well.

`/`, `/healthcheck` and the versions of services need no identity, `/openapi.json` any that the deployment
knows.
"""


def document(routed: Routed, settings: ApiSettings) -> dict[str, object]:
    """The OpenAPI document of an application with these routes."""
    components = Components()
    paths = {
        path: _path(Route(path, endpoint, components, settings))
        for path, endpoint in sorted(canonical(routed), key=lambda each: each[0])
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hydria", "version": CURRENT.removeprefix("v"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}, {"url": "/load-balancer"}],
        "security": [{}] if settings.auth_strategy == "noauth" else [{"identity": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "headers": {"RequestId": REQUEST_ID},
            "securitySchemes": {"identity": _scheme(settings)},
        },
    }


def canonical(routed: Routed) -> Iterator[tuple[str, object]]:
    """The routes by the one name that the document has for each."""
    known = {path for path, _ in routed}
    elsewhere = {id(endpoint) for path, endpoint in routed if roots.of(path)}
    for path, endpoint in routed:
        if id(endpoint) in elsewhere and not roots.of(path):
            continue
        if path.startswith(("/v2.0", "/load-balancer")):
            continue
        suite = path.replace("/v2/", "/v2/lbaas/", 1)
        if suite != path and suite in known:
            continue
        yield (PATH if path == PATH.removesuffix(".json") else path), endpoint


def methods(endpoint: object) -> list[str]:
    """The methods that an endpoint answers, in lower case."""
    return [method for method in _METHODS if hasattr(endpoint, f"on_{method}")]


def _path(route: Route) -> Schema:
    item: Schema = {}
    found = re.findall(r"\{(\w+)\}", route.path)
    if found:
        own = route.key if route.path.endswith("}") or len(found) == 1 else None
        item["parameters"] = [*map(_in_path, found[:-1]), _in_path(found[-1], own)]
    for method in methods(route.endpoint):
        item[method] = _with_request_id(describe(method, route))
    return item


def _in_path(name: str, schema: Schema | None = None) -> Schema:
    kind = schema or {"type": "string", "format": "uuid"}
    return {"name": name, "in": "path", "required": True, "schema": kind}


def _with_request_id(operation: Schema) -> Schema:
    header = {"X-Openstack-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    responses: dict[str, Schema] = operation["responses"]  # type: ignore[assignment]  # as operations make them
    for response in responses.values():
        headers: Schema = response.get("headers", {})  # type: ignore[assignment]  # the same
        response["headers"] = header | headers
    return operation


def _scheme(settings: ApiSettings) -> Schema:
    if settings.auth_strategy == "http_basic":
        return {"type": "http", "scheme": "basic"}
    return {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token of Keystone."}
