"""What each method of each class of endpoint takes and answers (contract 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from hydria.api import roots
from hydria.api.amphorae import (
    AmphoraConfig,
    Amphorae,
    AmphoraFailover,
    AmphoraItem,
    AmphoraStatistics,
    LoadBalancerFailover,
)
from hydria.api.endpoints import Collection as ListEndpoint
from hydria.api.endpoints import Item, Members, Statistics, Statuses
from hydria.api.extensions import Extensions
from hydria.api.healthcheck import Healthcheck
from hydria.api.key_manager import Payload, SecretList
from hydria.api.networks import NetworkExtensions, NetworkList
from hydria.api.openapi import amphorae, extensions, other_services, queries, quotas
from hydria.api.openapi.answers import (
    CONDITIONAL,
    FAULT,
    JSON,
    READING,
    WITH_BODY,
    WRITING,
    answer,
    errors,
    later,
)
from hydria.api.openapi.fixed import (
    LINKS,
    STATISTICS,
    healthcheck_body,
    status_tree,
    versions,
)
from hydria.api.openapi.page import SERVICE
from hydria.api.openapi.publication import Publication
from hydria.api.openapi.schemas import Components, Schema, enveloped
from hydria.api.providers import Capabilities, Providers
from hydria.api.quotas import QuotaDefaults, Quotas, QuotasOfProject, QuotaUsage
from hydria.api.versions import Discovery, Index
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Declared, attributes, links_key, name_of
from hydria.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the document with the endpoint behind it."""

    path: str
    endpoint: object
    components: Components
    settings: ApiSettings

    @property
    def resource(self) -> type[Declared]:
        """What the endpoint serves; only of endpoints that have it."""
        found: type[Declared] = self.endpoint.resource  # type: ignore[attr-defined]  # the table below sees to it
        return found

    @property
    def key(self) -> Schema | None:
        """What names an object of the endpoint in its path; None where it serves no declared ones."""
        if isinstance(self.endpoint, Extensions):
            return extensions.alias()
        if isinstance(self.endpoint, SecretList | Payload | NetworkExtensions):
            return other_services.NAME
        resource = getattr(self.endpoint, "resource", None)
        return None if resource is None else dict(attributes(resource)[resource.key].kind.schema())

    @property
    def below_parent(self) -> bool:
        """Whether the path goes through another object, which is looked up first."""
        return self.path.count("{") > (1 if self.path.endswith("}") else 0) and isinstance(
            self.endpoint, ListEndpoint | Item
        )

    def chosen(self, resource: type[Declared]) -> Schema:
        """An object in full, or what ``fields`` leaves of it."""
        full = self.components.shown(resource)
        if not self.settings.allow_field_selection:
            return full
        return {"anyOf": [full, self.components.reduced(resource)]}

    def operation(
        self,
        summary: str,
        name: str,
        succeeds: Mapping[HTTPStatus, Schema],
        *,
        parameters: Sequence[Schema] = (),
        body: Schema | None = None,
        failures: Collection[HTTPStatus] = READING,
    ) -> Schema:
        """An operation of the document."""
        if body is not None:
            failures = (*failures, *WITH_BODY)
        responses = {str(int(status)): response for status, response in succeeds.items()}
        fault = other_services.FAULTS.get(roots.of(self.path), FAULT)
        responses |= errors(self.components, failures, below_parent=self.below_parent, fault=fault)
        made: Schema = {"summary": summary, "operationId": name, "tags": [self.tag]}
        if roots.of(self.path):
            made["servers"] = [{"url": "/"}]
        if parameters:
            made["parameters"] = list(parameters)
        if body is not None:
            made["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
        if HTTPStatus.UNAUTHORIZED not in failures:
            made["security"] = []
        return made | {"responses": dict(sorted(responses.items()))}

    @property
    def tag(self) -> str:
        """The heading that the operation stands under."""
        resource = getattr(self.endpoint, "resource", None)
        return resource.label if resource else other_services.TAGS.get(roots.of(self.path), SERVICE)


Describe = Callable[[Route], Schema]


# --- objects ---------------------------------------------------------------------------------------------


def _list(route: Route) -> Schema:
    resource, settings = route.resource, route.settings
    items: Schema = {"type": "array", "items": route.chosen(route.resource)}
    links = {links_key(resource): LINKS} if settings.allow_pagination else {}
    parameters = [*queries.of_list(resource, settings), *queries.fields(resource, settings, _keys(route))]
    return route.operation(
        f"{resource.label}: list",
        f"list_{_several(resource)}",
        {HTTPStatus.OK: answer("A page of them.", enveloped(resource.plural, items, **links))},
        parameters=parameters,
    )


def _create(route: Route) -> Schema:
    resource, components = route.resource, route.components
    full = resource is LoadBalancer
    shown = components.graph(resource) if full else components.shown(resource)
    made = answer("What was made.", enveloped(resource.root, shown))
    return route.operation(
        f"{resource.label}: create" + (", with everything below it" if full else ""),
        f"create_{name_of(resource)}",
        {HTTPStatus.CREATED: _tagged(made)},
        body=enveloped(resource.root, components.create(resource)),
        failures=WRITING,
    )


def _show(route: Route) -> Schema:
    resource = route.resource
    found = answer("The object.", enveloped(resource.root, route.chosen(route.resource)))
    same = answer("The object is as If-None-Match has it; without a body.")
    return route.operation(
        f"{resource.label}: show",
        f"show_{name_of(resource)}",
        {HTTPStatus.OK: _tagged(found), HTTPStatus.NOT_MODIFIED: _tagged(same)},
        parameters=[*queries.fields(resource, route.settings, _keys(route)), _header("If-None-Match")],
    )


def _update(route: Route) -> Schema:
    resource, components = route.resource, route.components
    changed = answer("The object as it has become.", enveloped(resource.root, components.shown(resource)))
    return route.operation(
        f"{resource.label}: change",
        f"update_{name_of(resource)}",
        {HTTPStatus.OK: _tagged(changed)},
        parameters=[_header("If-Match")],
        body=enveloped(resource.root, components.update(resource)),
        failures=(*WRITING, *CONDITIONAL),
    )


def _delete(route: Route) -> Schema:
    cascade = queries.flag("cascade", "With everything below it.")
    return route.operation(
        f"{route.resource.label}: remove",
        f"delete_{name_of(route.resource)}",
        {HTTPStatus.NO_CONTENT: answer("It goes.")},
        parameters=[*([cascade] if route.resource is LoadBalancer else []), _header("If-Match")],
        failures=(*WRITING, *CONDITIONAL),
    )


def _batch(route: Route) -> Schema:
    resource = route.resource
    items: Schema = {"type": "array", "items": route.components.create(resource)}
    return route.operation(
        "Member: make those of the pool these",
        "update_members",
        {HTTPStatus.ACCEPTED: answer("It is being done.")},
        parameters=[queries.flag("additive_only", "Leave members that are not listed alone.")],
        body=enveloped(resource.plural, items),
        failures=WRITING,
    )


def _statistics(route: Route) -> Schema:
    return route.operation(
        f"{route.resource.label}: show what it has carried",
        f"show_{name_of(route.resource)}_stats",
        {HTTPStatus.OK: answer("Counters since it was made.", enveloped("stats", STATISTICS))},
    )


def _providers(route: Route) -> Schema:
    endpoint = route.endpoint
    root: str = endpoint.root  # type: ignore[attr-defined]  # the table below sees to it
    resource, settings = route.resource, route.settings
    keys = _keys(route)
    named = [queries.parameter(key, {"type": "string"}, f"Only with this {key}.") for key in keys]
    items: Schema = {"type": "array", "items": route.chosen(route.resource)}
    return route.operation(
        "List the providers"
        if root == resource.plural
        else f"List the {root.replace('_', ' ')} of a provider",
        f"list_{root}",
        {HTTPStatus.OK: answer("All of them.", enveloped(root, items))},
        parameters=[*(named if settings.allow_filtering else []), *queries.fields(resource, settings, keys)],
        failures=(*READING, HTTPStatus.NOT_IMPLEMENTED),
    )


def _statuses(route: Route) -> Schema:
    return route.operation(
        "Load Balancer: show its statuses, and those of everything below it",
        f"show_loadbalancer_{route.path.rpartition('/')[2]}",
        {HTTPStatus.OK: answer("The tree.", status_tree())},
    )


# --- the service itself ----------------------------------------------------------------------------------


def _discovery(route: Route) -> Schema:
    return route.operation(
        "List the versions of the API",
        "list_versions",
        {HTTPStatus.OK: answer("All versions, the current one last.", versions())},
        failures=(HTTPStatus.NOT_ACCEPTABLE,),
    )


def _discovery_head(route: Route) -> Schema:
    found = {HTTPStatus.OK: answer("The API is there.")}
    failures = (HTTPStatus.NOT_ACCEPTABLE,)
    return route.operation("Ask whether the API is there", "head_versions", found, failures=failures)


def _index(route: Route) -> Schema:
    name = "index" + route.path.replace("/", "_")
    found = {HTTPStatus.OK: answer("Its version.", {"const": "v2"})}
    failures = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_ACCEPTABLE)
    return route.operation("Say which API this is", name, found, failures=failures)


def _healthcheck(route: Route) -> Schema:
    responses = {
        HTTPStatus.OK: healthcheck_body("The database answers."),
        HTTPStatus.SERVICE_UNAVAILABLE: later(healthcheck_body("The database does not answer.")),
    }
    return route.operation("Ask whether the service works", "healthcheck", responses, failures=())


def _healthcheck_head(route: Route) -> Schema:
    responses = {
        HTTPStatus.NO_CONTENT: answer("The database answers."),
        HTTPStatus.SERVICE_UNAVAILABLE: later(answer("The database does not answer.")),
    }
    return route.operation("Ask the same by the status alone", "head_healthcheck", responses, failures=())


def _publication(route: Route) -> Schema:
    found = answer("An OpenAPI 3.1 document.", {"type": "object"})
    same = answer("The document is as If-None-Match has it; without a body.")
    return route.operation(
        "Describe the API",
        "openapi",
        {HTTPStatus.OK: _tagged(found), HTTPStatus.NOT_MODIFIED: _tagged(same)},
        parameters=[_header("If-None-Match")],
        failures=(HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_ACCEPTABLE),
    )


# Class of endpoint -> method -> its description, which classes that derive from it take over.
DESCRIBED: Mapping[type, Mapping[str, Describe]] = {
    ListEndpoint: {"get": _list, "post": _create},
    Members: {"put": _batch},
    Item: {"get": _show, "put": _update, "delete": _delete},
    Statistics: {"get": _statistics},
    Statuses: {"get": _statuses},
    Quotas: {"get": _list},
    QuotasOfProject: {"get": quotas.show, "put": quotas.update, "delete": quotas.delete},
    QuotaDefaults: {"get": quotas.defaults},
    QuotaUsage: {"get": quotas.usage},
    Extensions: {"get": extensions.describe},
    Providers: {"get": _providers},
    Capabilities: {"get": _providers},
    Amphorae: {"get": _list},
    AmphoraItem: {
        "get": amphorae.show,
        "delete": amphorae.asked("remove one in ERROR", "delete_amphora", HTTPStatus.NO_CONTENT),
    },
    AmphoraStatistics: {"get": amphorae.statistics},
    AmphoraConfig: {"put": amphorae.asked("give its agent everything anew", "configure_amphora")},
    AmphoraFailover: {"put": amphorae.asked("put another one in its place", "failover_amphora")},
    LoadBalancerFailover: {
        "put": amphorae.asked("put other amphorae in the places of all it has", "failover_loadbalancer")
    },
    Discovery: {"get": _discovery, "head": _discovery_head},
    Index: {"get": _index},
    Healthcheck: {"get": _healthcheck, "head": _healthcheck_head},
    Publication: {"get": _publication},
    roots.Version: {"get": other_services.versions},
    NetworkList: {"get": other_services.networks},
    NetworkExtensions: {"get": other_services.extensions},
    SecretList: {"get": other_services.secrets},
    Payload: {"get": other_services.payload},
}


def describe(method: str, route: Route) -> Schema:
    """The operation that a method of an endpoint is; KeyError names one that nobody has described."""
    for kind in type(route.endpoint).__mro__:
        if method in DESCRIBED.get(kind, {}):
            return DESCRIBED[kind][method](route)
    name = type(route.endpoint).__name__
    raise KeyError(f"{method} of {name}: say in hydria.api.openapi.operations.DESCRIBED what it answers")


def _several(resource: type[Declared]) -> str:
    return f"{resource.called}s" if resource.called else resource.plural


def _keys(route: Route) -> list[str]:
    return list(route.components.keys(route.resource))


def _header(name: str) -> Schema:
    meanings = {
        "If-Match": "ETags: do it only if the object is still one of these, as far as requests can set it.",
        "If-None-Match": "ETags: answer 304 if the object is still one of these.",
    }
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": meanings[name]}


def _tagged(response: Schema) -> Schema:
    etag: Schema = {"description": "The version that this is.", "schema": {"type": "string"}}
    return response | {"headers": {"ETag": etag}}
