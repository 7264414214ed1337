"""What Falcon calls: one class per shape of URL, whatever the resource.

They take a request apart, have it read (api/reading.py) or carried out (api/writing), and put the answer
together. Errors are raised; api/faults.py answers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import falcon
import msgspec

from hydria.api import conditions, envelope, reading, writing
from hydria.api.call import Call, Services
from hydria.api.faults import UnknownParent
from hydria.api.parents import PARENTS
from hydria.model import kinds
from hydria.model.errors import NotFound
from hydria.model.load_balancer import LoadBalancer
from hydria.model.member import Member
from hydria.model.resource import IDENTIFIER, Declared, argument_of, parse_key


class Endpoint:
    """What all of them have. ``resource``: the kind of object that the URL names."""

    def __init__(self, services: Services, resource: type[Declared]) -> None:
        self._services = services
        self._settings = services.settings.api_settings
        self._longest_body = services.settings.oslo_middleware.max_request_body_size
        self._resource = resource

    @property
    def resource(self) -> type[Declared]:
        """What it serves."""
        return self._resource

    def _call(self, req: falcon.Request) -> Call:
        base_url = self._settings.api_base_uri.rstrip("/") or req.prefix
        if_match = conditions.parse(req.get_header("If-Match"))
        return Call(self._services, req.context.caller, base_url, req.context.request_id, if_match)

    def _body(self, req: falcon.Request, *, creating: bool) -> object:
        resource = self._resource
        argument = argument_of(resource, creating=creating)
        return envelope.read(req, resource.root, argument, self._longest_body)

    def _answer_with(self, resp: falcon.Response, written: dict[str, object]) -> None:
        """Show an object as a request has left it."""
        resp.data = msgspec.json.encode({self._resource.root: written})
        resp.set_header("ETag", f'"{conditions.tag(self._resource, written, resp.data)}"')

    def _id(self, text: str) -> str:
        try:
            return parse_key(self._resource, text)
        except kinds.BadValue:
            raise NotFound(self._resource.label, kinds.shown(text)) from None

    def _parent(self, text: str) -> str:
        """The id of the object in the middle of the path, which is looked up before anything else is."""
        try:
            return IDENTIFIER.parse(text)
        except kinds.BadValue:
            raise UnknownParent(PARENTS[self._resource].label, kinds.shown(text)) from None

    @contextmanager
    def _routed(self, parent: str | None) -> Iterator[None]:
        """An unknown parent in the path is an error of routing, whoever notices it (contract 1.5)."""
        try:
            yield
        except NotFound as missing:
            if parent is not None:
                unknown = UnknownParent(PARENTS[self._resource].label, parent)
                if missing.message == unknown.message:
                    raise unknown from missing
            raise


class Collection(Endpoint):
    """``/loadbalancers``, ``/pools/{identifier}/members``, …"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str | None = None) -> None:
        """List objects. ``identifier``: of the pool whose members they are, the policy whose rules."""
        call = self._call(req)
        parent = identifier and self._parent(identifier)
        _answer(resp, reading.show_all(call, self._resource, req.params, req.path, parent))

    def on_post(self, req: falcon.Request, resp: falcon.Response, identifier: str | None = None) -> None:
        """Create one."""
        call = self._call(req)
        envelope.no_arguments(req)
        parent = identifier and self._parent(identifier)
        with self._routed(parent):
            made = writing.create(call, self._resource, self._body(req, creating=True), parent)
        resp.status = HTTPStatus.CREATED
        self._answer_with(resp, made)


class Members(Collection):
    """``/pools/{identifier}/members``, which can also be written as a whole."""

    def on_put(self, req: falcon.Request, resp: falcon.Response, identifier: str) -> None:
        """Make the members of the pool these, or with ``additive_only`` these and those it has."""
        call = self._call(req)
        envelope.no_arguments(req, ("additive_only",))
        pool = self._parent(identifier)
        body = envelope.read(req, Member.plural, f"{Member.plural}_", self._longest_body)
        with self._routed(pool):
            writing.batch_members(call, pool, body, additive_only=envelope.flag(req, "additive_only"))
        resp.status = HTTPStatus.ACCEPTED


class Item(Endpoint):
    """``/loadbalancers/{identifier}``, ``/pools/{identifier}/members/{child}``, …"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Show the object."""
        call = self._call(req)
        identifier, parent = self._locate(**path)
        shown = reading.show(call, self._resource, identifier, parent)
        chosen = reading.chosen(call, shown, req.params)
        body = msgspec.json.encode({self._resource.root: chosen})
        conditions.answer(req, resp, body, conditions.tag(self._resource, shown, body))

    def on_put(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Change it."""
        call = self._call(req)
        envelope.no_arguments(req)
        identifier, parent = self._locate(**path)
        with self._routed(parent):
            body = self._body(req, creating=False)
            changed = writing.update(call, self._resource, identifier, body, parent)
        self._answer_with(resp, changed)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Remove it; a load balancer with everything below it when the request says ``cascade``."""
        call = self._call(req)
        envelope.no_arguments(req, ("cascade",) if self._resource is LoadBalancer else ())
        identifier, parent = self._locate(**path)
        with self._routed(parent):
            writing.delete(call, self._resource, identifier, parent, cascade=envelope.flag(req, "cascade"))
        resp.status = HTTPStatus.NO_CONTENT

    def _locate(self, identifier: str, child: str | None = None) -> tuple[str, str | None]:
        """The object's own id and that of the object above it, where the path has both."""
        if child is None:
            return self._id(identifier), None
        return self._id(child), self._parent(identifier)


class Statistics(Endpoint):
    """``/loadbalancers/{identifier}/stats``, ``/listeners/{identifier}/stats``"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str) -> None:
        """Show what it has carried."""
        _answer(resp, reading.statistics(self._call(req), self._resource, self._id(identifier)))


class Statuses(Endpoint):
    """``/loadbalancers/{identifier}/status``"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str) -> None:
        """Show the statuses of the load balancer and everything below it."""
        _answer(resp, reading.statuses(self._call(req), self._id(identifier)))


def _answer(resp: falcon.Response, body: dict[str, object]) -> None:
    resp.data = msgspec.json.encode(body)
