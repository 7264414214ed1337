"""One line for each request, whoever answers it: the application, or what is in front of it.

What stands in query strings, headers and bodies is nobody's business here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hydria.model import kinds

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)
# In the environment, from whoever identifies the caller. The user of a request that was refused (401, 429) is
# who it says it is of.
PROJECT, USER = "hydria.project_id", "hydria.user_id"
_LONGEST = 256
_REQUEST_ID = "x-openstack-request-id"


class AccessLog:
    """The application, with its requests logged: method, path, status, milliseconds, request id,
    project, address, and
    last, since anybody may say it, the user.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not LOG.isEnabledFor(logging.INFO):
            return self._app(environ, start_response)
        said: list[Any] = ["-", []]

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            said[:] = [status, headers]
            return start_response(status, headers, *more)

        began = time.perf_counter()
        try:
            return self._app(environ, started)
        finally:
            path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
            LOG.info(
                "%s %s %s %.1f ms %s project %s from %s user %s",
                environ["REQUEST_METHOD"],
                path if path.isprintable() and len(path) < _LONGEST else kinds.shown(path),
                said[0][:3],
                1000 * (time.perf_counter() - began),
                next((value for name, value in said[1] if name.lower() == _REQUEST_ID), "-"),
                environ.get(PROJECT) or "-",
                kinds.shown(environ.get("REMOTE_ADDR") or "-"),
                kinds.shown(environ.get(USER) or "-"),
            )
