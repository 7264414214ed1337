"""What requests go through before the application: the field's WSGI middlewares (contract 1.1).

Outermost first: request id, so that every answer has one; size limit; CORS; what a proxy says of the client;
Keystone; audit. Without identity there are none but those of a browser or a proxy, if configured: the
application does the rest by itself, and nothing here is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hydria.api.access_log import AccessLog
from hydria.api.caller import KEYSTONE, NOAUTH, OPEN_PATHS
from hydria.api.faults import RETRY_SECONDS
from hydria.model.errors import Invalid
from hydria.settings import Settings, library_options

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from oslo_config import cfg

_METHODS = ["GET", "PUT", "POST", "DELETE"]
_HEADERS = ["X-Auth-Token", "X-Openstack-Request-Id"]


def around(app: WSGIApplication, settings: Settings) -> WSGIApplication:
    """The application behind what the settings ask for. Raises Invalid for options that cannot work."""
    strategy = settings.api_settings.auth_strategy
    if settings.audit.enabled and strategy != KEYSTONE:
        raise Invalid(f"[audit] enabled needs [api_settings] auth_strategy = {KEYSTONE}, not {strategy}.")
    proxied = settings.oslo_middleware.enable_proxy_headers_parsing
    if proxied and strategy == NOAUTH:
        raise Invalid(
            "[oslo_middleware] enable_proxy_headers_parsing with [api_settings] auth_strategy = noauth: a"
            " header would be enough to come from this host, and so to be its administrator. Choose one"
            " that identifies callers."
        )
    if strategy == KEYSTONE:
        from hydria.api import keystone  # noqa: PLC0415  (only with this strategy; it is large)

        app = _Except(OPEN_PATHS, app, _Later(keystone.protected(app, settings)))
    if proxied:
        from oslo_middleware import http_proxy_to_wsgi  # noqa: PLC0415  (webob and more)

        app = http_proxy_to_wsgi.HTTPProxyToWSGI(app, library_options(settings.config_files))
    if settings.cors.allowed_origin:
        app = _cors(app, library_options(settings.config_files))
    if strategy != NOAUTH:
        from oslo_middleware import request_id, sizelimit  # noqa: PLC0415  (the same)

        conf = library_options(settings.config_files)
        app = request_id.RequestId(sizelimit.RequestBodySizeLimiter(app, conf), conf)
    return AccessLog(app)


def _cors(app: WSGIApplication, conf: cfg.ConfigOpts) -> WSGIApplication:
    from oslo_middleware import cors  # noqa: PLC0415  (the same)

    conf.register_opts(cors.OPTS, group="cors")
    conf.set_default("allow_methods", _METHODS, group="cors")
    conf.set_default("allow_headers", [*_HEADERS, "Authorization", "Content-Type"], group="cors")
    conf.set_default("expose_headers", _HEADERS, group="cors")
    made: WSGIApplication = cors.CORS(app, conf)
    return made


class _Later:
    """Says when to try again what failed for now (503), where the application behind it does not."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if status.startswith("503") and not any(name.lower() == "retry-after" for name, _ in headers):
                headers = [*headers, ("Retry-After", RETRY_SECONDS)]
            return start_response(status, headers, *more)

        return self._app(environ, start)


class _Except:
    """One application for these paths, another for all others."""

    def __init__(self, paths: Iterable[str], inside: WSGIApplication, outside: WSGIApplication) -> None:
        self._paths = frozenset(paths)
        self._inside = inside
        self._outside = outside

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chosen = self._inside if environ.get("PATH_INFO") in self._paths else self._outside
        return chosen(environ, start_response)
