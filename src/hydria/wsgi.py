"""The API controller for a WSGI server of one's own: ``gunicorn hydria.wsgi:application``.

Configuration: the files in the environment variable HYDRIA_CONFIG, separated by colons, or else
/etc/hydria/hydria.conf if there is one. It is read, and the database opened, with the first request, so in
each worker process after it was forked.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)
ENVIRONMENT = "HYDRIA_CONFIG"
DEFAULT_FILE = Path("/etc/hydria/hydria.conf")


class _Application:
    """Makes the application when the first request comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._made()(environ, start_response)

    def _made(self) -> WSGIApplication:
        with self._lock:
            if self._app is None:
                self._app = _make()
            return self._app


def configuration_files() -> list[str]:
    """The files that this process is configured by."""
    named = os.environ.get(ENVIRONMENT)
    if named is not None:
        return [name for name in named.split(os.pathsep) if name]
    return [str(DEFAULT_FILE)] if DEFAULT_FILE.exists() else []


def _make() -> WSGIApplication:
    # Late, so that importing this module for its name alone stays cheap.
    from hydria import settings  # noqa: PLC0415
    from hydria.api import program  # noqa: PLC0415
    from hydria.controllers import Parts  # noqa: PLC0415
    from hydria.drivers import secret_files  # noqa: PLC0415

    loaded = settings.load(configuration_files())
    for exposed in secret_files.exposed(loaded):
        LOG.warning("%s", exposed)
    parts = Parts(loaded)
    return program.application(program.services(parts.settings, parts.store, parts.network, parts.wakeups))


application = _Application()
