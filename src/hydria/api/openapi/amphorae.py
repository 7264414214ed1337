"""The operations on amphorae (contract 1.19), and the failover of load balancers."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from hydria.api.openapi import queries
from hydria.api.openapi.answers import WRITING, answer
from hydria.api.openapi.fixed import COUNTED
from hydria.api.openapi.schemas import Schema, closed, enveloped
from hydria.model.amphora import Amphora

if TYPE_CHECKING:
    from hydria.api.openapi.operations import Route


def show(route: Route) -> Schema:
    """GET of an amphora."""
    components, settings = route.components, route.settings
    return route.operation(
        "Amphora: show",
        "show_amphora",
        {HTTPStatus.OK: answer("The amphora.", enveloped(Amphora.root, route.chosen(Amphora)))},
        parameters=list(queries.fields(Amphora, settings, components.keys(Amphora))),
    )


def statistics(route: Route) -> Schema:
    """GET of what an amphora has carried."""
    identifier: Schema = {"type": "string", "format": "uuid"}
    properties = {**dict.fromkeys(("id", "listener_id", "loadbalancer_id"), identifier), **COUNTED}
    found = enveloped("amphora_stats", {"type": "array", "items": closed(properties, list(properties))})
    return route.operation(
        "Amphora: show what it has carried, by listener",
        "show_amphora_stats",
        {HTTPStatus.OK: answer("Counters of each listener; 404 before the first report.", found)},
    )


def asked(summary: str, name: str, status: HTTPStatus = HTTPStatus.ACCEPTED) -> Callable[[Route], Schema]:
    """A request without a body, for a worker to carry out."""

    def describe(route: Route) -> Schema:
        done = {status: answer("It is being done.")}
        return route.operation(f"{route.resource.label}: {summary}", name, done, failures=WRITING)

    return describe
