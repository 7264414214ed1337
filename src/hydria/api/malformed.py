"""What is no HTTP, answered as everything else, in JSON, by the server itself."""

from __future__ import annotations

import uuid
from http import HTTPStatus

import falcon
from waitress.task import ErrorTask

from hydria.api import faults
from hydria.model import kinds


class MalformedTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers a request that could not be read, and closes the connection."""

    def execute(self) -> None:
        """As inherited, with the body of an error of routing (contract 1.5)."""
        error = self.request.error
        status = HTTPStatus(error.code)
        body = faults.routing_body(
            status, f"The server cannot take this request: {kinds.shown(error.body).rstrip('.')}."
        )
        self.status = f"{error.code} {status.phrase}"
        self.response_headers += [
            ("Content-Type", falcon.MEDIA_JSON),
            ("X-Openstack-Request-Id", f"req-{uuid.uuid4()}"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
