"""What the WSGI middlewares around the application add to answers of their own."""

from typing import Any

import pytest
from falcon.testing import TestClient

from hydria.api import pipeline
from hydria.model.errors import Invalid
from hydria.settings import OsloMiddlewareSettings, Settings


@pytest.mark.parametrize(
    ("status", "given", "expected"),
    [
        ("503 Service Unavailable", [], "5"),
        ("503 Service Unavailable", [("retry-after", "60")], "60"),
        ("500 Internal Server Error", [], None),
        ("200 OK", [], None),
    ],
)
def test_a_middleware_that_is_unavailable_says_when_to_try_again(
    status: str, given: list[tuple[str, str]], expected: str | None
) -> None:
    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain"), *given])
        return [b"Keystone is away"]

    answer = TestClient(pipeline._Later(app)).simulate_get("/")  # type: ignore[arg-type]
    assert (answer.status, answer.headers.get("retry-after")) == (status, expected)
    assert answer.text == "Keystone is away"


def test_nobody_is_on_this_host_because_a_header_says_so() -> None:
    believing = Settings(oslo_middleware=OsloMiddlewareSettings(enable_proxy_headers_parsing=True))
    with pytest.raises(Invalid, match=r"enable_proxy_headers_parsing with .* auth_strategy = noauth"):
        pipeline.around(lambda _environ, _start_response: [], believing)
