"""GET: one object, lists of them, the status tree, and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hydria.api import listing, policy
from hydria.api.call import Call
from hydria.api.faults import UnknownParent
from hydria.api.listing import Params
from hydria.api.parents import PARENTS
from hydria.api.status_tree import status_tree
from hydria.api.views import Body, view
from hydria.model.errors import Invalid, NotFound
from hydria.model.listener import Listener
from hydria.model.load_balancer import LoadBalancer
from hydria.model.resource import Declared, attributes, links_key
from hydria.store import listing as pages
from hydria.store import relations, status_rows, totals
from hydria.store.listing import ListQuery

_OWNER = ("project_id",)


def show(call: Call, resource: type[Declared], identifier: str, parent: str | None = None) -> Body:
    """One object with all its keys, in two statements. ``parent``: a member's pool, a rule's policy."""
    shape = view(resource)
    with call.services.store.read() as tx:
        row = pages.row(tx, resource, shape.fields, identifier, parent)
        if row is None:
            if parent is not None:
                _project_of(tx, PARENTS[resource], parent, missing=UnknownParent)
            raise NotFound(resource.label, identifier)
        owner = row.project_id if "project_id" in shape.fields else None
        policy.authorize(call, policy.rule(resource, "get_one"), owner)
        related = relations.of(tx, resource, [identifier])
    return shape.of_row(row, related[identifier])


def chosen(call: Call, shown: Body, params: Params) -> Body:
    """The keys of an object that the request asks for."""
    return reduced(shown, listing.fields(call.services.settings.api_settings, params))


def show_all(
    call: Call, resource: type[Declared], params: Params, path: str, parent: str | None = None
) -> Body:
    """A page of a list, with links to its neighbours, in two statements, or three with a marker."""
    settings = call.services.settings.api_settings
    shape = view(resource)
    query = listing.parse(settings, resource, params, _scope(call, resource, params, parent))
    with call.services.store.read() as tx:
        rows = _page(call, tx, resource, query, parent)
        ids = [getattr(row, resource.key) for row in rows]
        related = relations.of(tx, resource, ids)
    wanted = listing.fields(settings, params)
    shown = [reduced(shape.of_row(row, related[key]), wanted) for key, row in zip(ids, rows, strict=True)]
    answer: Body = {resource.plural: shown}
    if settings.allow_pagination:
        answer[links_key(resource)] = listing.links(query, params, f"{call.base_url}{path}", ids)
    return answer


def statuses(call: Call, load_balancer_id: str) -> Body:
    """The status tree of a load balancer."""
    with call.services.store.read() as tx:
        found = status_rows.load(tx, load_balancer_id)
    balancer = next((row for row in found if row.kind == LoadBalancer.table), None)
    if balancer is None:
        raise NotFound(LoadBalancer.label, load_balancer_id)
    policy.authorize(call, policy.rule(LoadBalancer, "get_status"), str(balancer.above))
    return status_tree(balancer, found)


def statistics(call: Call, resource: type[Declared], identifier: str) -> Body:
    """What a load balancer or a listener has carried; zeros when nothing was reported yet."""
    counted = totals.of_listener if resource is Listener else totals.of_load_balancer
    with call.services.store.read() as tx:
        policy.authorize(call, policy.rule(resource, "get_stats"), _project_of(tx, resource, identifier))
        return {"stats": counted(tx, identifier)}


def _scope(call: Call, resource: type[Declared], params: Params, parent: str | None) -> dict[str, str]:
    """What all objects of the list have in common, whatever the filters say."""
    if parent is not None:
        return {resource.within: parent}
    if "project_id" not in attributes(resource):
        policy.authorize(call, policy.rule(resource, "get_all"))
        return {}
    asked = params.get("project_id", params.get("tenant_id"))
    rule = policy.rule(resource, "get_all")
    project_id = policy.listed_project(call, rule, None if asked is None else str(asked))
    return {} if project_id is None else {"project_id": project_id}


def _page(
    call: Call, tx: sa.Connection, resource: type[Declared], query: ListQuery, parent: str | None
) -> Sequence[sa.Row[Any]]:
    """The rows of a page. Those of a parent are judged by its project, which each of them has, too."""
    if parent is None:
        return pages.page(tx, resource, view(resource).fields, query)
    rows: Sequence[sa.Row[Any]] = ()
    refusal: Invalid | None = None
    try:
        rows = pages.page(tx, resource, view(resource).fields, query)
    except Invalid as unknown_marker:
        refusal = unknown_marker
    project_id = (
        rows[0].project_id if rows else _project_of(tx, PARENTS[resource], parent, missing=UnknownParent)
    )
    policy.authorize(call, policy.rule(resource, "get_all"), project_id)
    if refusal is not None:
        raise refusal
    return rows


def _project_of(
    tx: sa.Connection, resource: type[Declared], identifier: str, missing: type[NotFound] = NotFound
) -> str:
    row = pages.row(tx, resource, _OWNER, identifier)
    if row is None:
        raise missing(resource.label, identifier)
    return str(row.project_id)


def reduced(shown: Body, wanted: tuple[str, ...] | None) -> Body:
    """The object with the keys alone that the request asks for; None: all of them."""
    return shown if wanted is None else {key: shown[key] for key in wanted if key in shown}
