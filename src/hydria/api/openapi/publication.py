"""``/openapi.json``: the document, which says nothing of anybody's objects."""

from __future__ import annotations

import threading
from collections.abc import Callable

import falcon
import msgspec

from hydria.api import conditions


class Publication:
    """Serves the document, which is made when it is first asked for."""

    def __init__(self, make: Callable[[], dict[str, object]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._text = b""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the document."""
        with self._lock:
            if not self._text:
                self._text = msgspec.json.encode(self._make())
        conditions.answer(req, resp, self._text, conditions.digest(self._text))
