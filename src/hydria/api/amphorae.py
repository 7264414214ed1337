"""``/v2/octavia/amphorae`` and what is below it, for operators (contract 1.19), and failover."""

from __future__ import annotations

from http import HTTPStatus

import falcon
import msgspec

from hydria.api import envelope, policy, reading
from hydria.api.call import Services
from hydria.api.endpoints import Endpoint
from hydria.api.views import Body
from hydria.api.writing import amphora as writing
from hydria.model.amphora import Amphora
from hydria.model.errors import NotFound
from hydria.model.load_balancer import LoadBalancer
from hydria.store import listing as pages
from hydria.store import totals

_OWNER = ("load_balancer_id",)


class _OfAmphorae(Endpoint):
    def __init__(self, services: Services) -> None:
        super().__init__(services, Amphora)


class Amphorae(_OfAmphorae):
    """``/amphorae``"""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List them."""
        _answer(resp, reading.show_all(self._call(req), Amphora, req.params, req.path))


class AmphoraItem(_OfAmphorae):
    """``/amphorae/{amphora}``"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, amphora: str) -> None:
        """Show one."""
        call = self._call(req)
        found = reading.show(call, Amphora, self._id(amphora))
        _answer(resp, {Amphora.root: reading.chosen(call, found, req.params)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, amphora: str) -> None:
        """Remove one that has failed."""
        call = self._call(req)
        envelope.no_arguments(req)
        writing.delete(call, self._id(amphora))
        resp.status = HTTPStatus.NO_CONTENT


class AmphoraStatistics(_OfAmphorae):
    """``/amphorae/{amphora}/stats``"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, amphora: str) -> None:
        """Show what it has carried for each listener."""
        call, identifier = self._call(req), self._id(amphora)
        with call.services.store.read() as tx:
            if pages.row(tx, Amphora, _OWNER, identifier) is None:
                raise NotFound(Amphora.label, identifier)
            policy.authorize(call, "amphora:get_stats")
            found = totals.of_amphora(tx, identifier)
        if not found:
            raise NotFound("Amphora stats for", identifier)
        _answer(resp, {"amphora_stats": found})


class AmphoraConfig(_OfAmphorae):
    """``/amphorae/{amphora}/config``"""

    def on_put(self, req: falcon.Request, resp: falcon.Response, amphora: str) -> None:
        """Give its agent everything anew."""
        call = self._call(req)
        envelope.no_arguments(req)
        writing.configure(call, self._id(amphora))
        resp.status = HTTPStatus.ACCEPTED


class AmphoraFailover(_OfAmphorae):
    """``/amphorae/{amphora}/failover``"""

    def on_put(self, req: falcon.Request, resp: falcon.Response, amphora: str) -> None:
        """Put another one in its place."""
        call = self._call(req)
        envelope.no_arguments(req)
        writing.failover(call, self._id(amphora))
        resp.status = HTTPStatus.ACCEPTED


class LoadBalancerFailover(Endpoint):
    """``/loadbalancers/{identifier}/failover``"""

    def __init__(self, services: Services) -> None:
        super().__init__(services, LoadBalancer)

    def on_put(self, req: falcon.Request, resp: falcon.Response, identifier: str) -> None:
        """Put other amphorae in the places of all it has, or have its provider do what stands for that."""
        call = self._call(req)
        envelope.no_arguments(req)
        writing.failover_load_balancer(call, self._id(identifier))
        resp.status = HTTPStatus.ACCEPTED


def _answer(resp: falcon.Response, body: Body) -> None:
    resp.data = msgspec.json.encode(body)
