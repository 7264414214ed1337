"""``/quotas`` and what is below it (contract 1.17)."""

from __future__ import annotations

from http import HTTPStatus

import falcon
import msgspec

from hydria.api import conditions, envelope, listing, policy, reading
from hydria.api.call import Call, Services
from hydria.api.endpoints import Endpoint
from hydria.api.views import Body
from hydria.api.writing import quota
from hydria.model.quota import OPTIONS, Quota, field_of
from hydria.store import quotas, tables

# "defaults" stands where a project does, and is none (contract 1.6).
_DEFAULTS = "defaults"


class Quotas(Endpoint):
    """``/quotas``"""

    def __init__(self, services: Services) -> None:
        super().__init__(services, Quota)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List what is set: projects that have nothing but defaults are not there."""
        _answer(resp, reading.show_all(self._call(req), Quota, req.params, req.path))


class QuotasOfProject(Endpoint):
    """``/quotas/{project}``"""

    def __init__(self, services: Services) -> None:
        super().__init__(services, Quota)

    def on_get(self, req: falcon.Request, resp: falcon.Response, project: str) -> None:
        """Show the quotas that hold for a project."""
        call, project_id = self._call(req), self._id(project)
        if project_id == _DEFAULTS:
            _answer(resp, self._body_of(req, call, _defaults(call, project_id, call.caller.project_id)))
            return
        policy.authorize(call, "quota:get_one", project_id)
        with call.services.store.read() as tx:
            found = quotas.find(tx, project_id) or Quota(project_id=project_id)
        _answer(resp, self._body_of(req, call, quota.shown(call, found)))

    def on_put(self, req: falcon.Request, resp: falcon.Response, project: str) -> None:
        """Set quotas of a project."""
        call = self._call(req)
        envelope.no_arguments(req)
        conditions.refuse(call, "A quota")
        _answer(resp, {Quota.root: quota.update(call, self._id(project), self._body(req, creating=False))})
        resp.status = HTTPStatus.ACCEPTED

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project: str) -> None:
        """Give a project the defaults again."""
        call = self._call(req)
        envelope.no_arguments(req)
        conditions.refuse(call, "A quota")
        quota.delete(call, self._id(project))
        resp.status = HTTPStatus.ACCEPTED

    def _body_of(self, req: falcon.Request, call: Call, shown: Body) -> Body:
        wanted = listing.fields(call.services.settings.api_settings, req.params)
        return {Quota.root: reading.reduced(shown, wanted)}


class QuotaDefaults(Endpoint):
    """``/quotas/{project}/default``"""

    def __init__(self, services: Services) -> None:
        super().__init__(services, Quota)

    def on_get(self, req: falcon.Request, resp: falcon.Response, project: str) -> None:
        """Show the quotas of projects for which none are set."""
        call, project_id = self._call(req), self._id(project)
        _answer(resp, {Quota.root: _defaults(call, project_id, project_id)})


class QuotaUsage(Endpoint):
    """``/quotas/{project}/usage``, which Octavia does not have."""

    def __init__(self, services: Services) -> None:
        super().__init__(services, Quota)

    def on_get(self, req: falcon.Request, resp: falcon.Response, project: str) -> None:
        """Show how many objects of each kind a project has, beside how many it may have."""
        call, project_id = self._call(req), self._id(project)
        policy.authorize(call, "quota:get_one", project_id)
        counted = [resource for resource in tables.RESOURCES if field_of(resource) in OPTIONS]
        with call.services.store.read() as tx:
            limits = quota.completed(call, quotas.find(tx, project_id) or Quota(project_id=project_id))
            numbers = quotas.used(tx, project_id, counted)
        usage: Body = {"project_id": project_id, "tenant_id": project_id}
        for resource, used in zip(counted, numbers, strict=True):
            field = field_of(resource)
            usage[field] = {"limit": getattr(limits, field), "used": used}
        _answer(resp, {"quota_usage": usage})


def _defaults(call: Call, shown_as: str, project_id: str) -> Body:
    policy.authorize(call, "quota:get_defaults", project_id)
    return quota.shown(call, Quota(project_id=shown_as))


def _answer(resp: falcon.Response, body: Body) -> None:
    resp.data = msgspec.json.encode(body)
