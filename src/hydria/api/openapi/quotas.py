"""The operations on quotas (contract 1.17)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from hydria.api.openapi import queries
from hydria.api.openapi.answers import CONDITIONAL, READING, answer
from hydria.api.openapi.schemas import Components, Schema, closed, enveloped
from hydria.model.quota import ALIASES, OPTIONS, Quota

if TYPE_CHECKING:
    from hydria.api.openapi.operations import Route


def show(route: Route) -> Schema:
    """GET of a project's quotas."""
    components, settings = route.components, route.settings
    return route.operation(
        "Quotas: show those of a project, or with 'defaults' for a project the deployment's",
        "show_quota",
        {
            HTTPStatus.OK: answer(
                "What holds, defaults filled in.", enveloped(Quota.root, route.chosen(Quota))
            )
        },
        parameters=list(queries.fields(Quota, settings, components.keys(Quota))),
    )


def update(route: Route) -> Schema:
    """PUT of a project's quotas."""
    changed = enveloped(Quota.root, route.components.shown(Quota))
    return route.operation(
        "Quotas: set those of a project",
        "update_quota",
        {HTTPStatus.ACCEPTED: answer("What holds now, defaults filled in.", changed)},
        body=enveloped(Quota.root, _changes(route.components)),
        failures=(*READING, *CONDITIONAL),  # a quota has no ETag that If-Match could equal
    )


def delete(route: Route) -> Schema:
    """DELETE of a project's quotas."""
    done = {HTTPStatus.ACCEPTED: answer("The defaults hold again.")}
    failures = (*READING, *CONDITIONAL)
    return route.operation(
        "Quotas: give a project the defaults again", "delete_quota", done, failures=failures
    )


def defaults(route: Route) -> Schema:
    """GET of the defaults."""
    shown = enveloped(Quota.root, route.components.shown(Quota))
    return route.operation(
        "Quotas: show those of projects for which none are set",
        "show_default_quota",
        {HTTPStatus.OK: answer("The deployment's defaults.", shown)},
    )


def usage(route: Route) -> Schema:
    """GET of what a project has, beside what it may have; Octavia does not have it."""
    number: Schema = {"type": "integer"}
    entry = closed({"limit": number, "used": number | {"minimum": 0}}, ["limit", "used"])
    project: Schema = {"type": "string"}
    properties = {"project_id": project, "tenant_id": project, **dict.fromkeys(OPTIONS, entry)}
    return route.operation(
        "Quotas: show how much of them a project uses",
        "show_quota_usage",
        {HTTPStatus.OK: answer("Of each kind: the limit, and what there is.", _usage(properties))},
        failures=READING,
    )


def _usage(properties: dict[str, Schema]) -> Schema:
    return enveloped("quota_usage", closed(properties, ["project_id", "tenant_id"]))


def _changes(components: Components) -> Schema:
    """The body of a PUT, which may use old names."""
    reference = components.update(Quota)
    properties = cast("dict[str, Schema]", components.schemas["QuotaUpdate"]["properties"])
    for alias, name in ALIASES.items():
        properties[alias] = {**properties[name], "deprecated": True}
    return reference
