"""``/healthcheck``, for load balancers and monitoring in front of the API (contract 1.3).

Needs no identity.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus

import falcon
import msgspec
from falcon import mediatypes

from hydria.model.errors import Unavailable
from hydria.store import Store

_BROKEN = "The Octavia database is unavailable."
_FORMATS = (falcon.MEDIA_TEXT, falcon.MEDIA_HTML, falcon.MEDIA_JSON)


class Healthcheck:
    """Whether the database answers, asked at most once per ``interval`` seconds."""

    def __init__(self, store: Store, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._lock = threading.Lock()
        self._healthy = False
        self._checked: float | None = None

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say so in text, HTML or JSON, as the request accepts."""
        healthy = self._check()
        reason = "OK" if healthy else _BROKEN
        resp.status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        resp.content_type = _format(req.get_header("Accept") or "*/*")
        if resp.content_type == falcon.MEDIA_JSON:
            resp.data = msgspec.json.encode({"detailed": False, "reasons": [reason]})
        elif resp.content_type == falcon.MEDIA_HTML:
            resp.text = f"<!DOCTYPE html><title>Healthcheck Status</title><body><p>{reason}</p></body>\n"
        else:
            resp.text = reason

    def on_head(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Say so by the status alone."""
        resp.status = HTTPStatus.NO_CONTENT if self._check() else HTTPStatus.SERVICE_UNAVAILABLE

    def _check(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._checked is None or now - self._checked >= self._interval:
                self._healthy = self._answers()
                self._checked = now
            return self._healthy

    def _answers(self) -> bool:
        try:
            self._store.ping()
        except Unavailable:
            return False  # that is the answer
        return True


def _format(accept: str) -> str:
    try:
        return mediatypes.best_match(_FORMATS, accept) or falcon.MEDIA_TEXT
    except (falcon.errors.InvalidMediaRange, falcon.errors.InvalidMediaType):
        return falcon.MEDIA_TEXT
