"""What the HAProxy in front of the API is told (docs/adr/0007-haproxy-in-front.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from hydria.api import faults

CLIENT_HEADER = "X-Hydria-Client"
STOP_SECONDS = 5
CLIENT_SECONDS = 20  # of silence, or for a TLS handshake as a whole
REQUEST_SECONDS = 20  # from its first byte to its last
_LARGEST_BUFFER = 1024 * 1024
_HEAD = 16 * 1024
_SAID = {
    HTTPStatus.BAD_REQUEST: "The server cannot take this request: it is not HTTP.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The server speaks HTTP/1.1 alone.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too long.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body is coded in a way that is not known here.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An unexpected error happened.",
    HTTPStatus.BAD_GATEWAY: "The API does not answer.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The API does not answer.",
    HTTPStatus.GATEWAY_TIMEOUT: "The API does not answer in time.",
}


@dataclass(frozen=True, slots=True)
class Front:
    """Files are paths that HAProxy opens; ``listening``: descriptors; ``behind``: an abstract Unix socket."""

    listening: tuple[int, ...]
    behind: str
    certificate: str
    errors: Mapping[int, str]
    connections: int
    per_address: int  # 0: no budget
    longest_body: int


def errors() -> dict[int, bytes]:
    """Status -> an answer of HAProxy's own, in the shape of the API's (contract 1.5)."""
    return {int(status): _error(status, said) for status, said in _SAID.items()}


def _error(status: HTTPStatus, said: str) -> bytes:
    body = faults.routing_body(status, said)
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Cache-Control: no-cache\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def render(front: Front) -> bytes:
    """The configuration."""
    return "".join(f"{line}\n" for line in _lines(front)).encode()


def _lines(front: Front) -> Iterable[str]:
    tls = f" ssl crt {front.certificate} ssl-min-ver TLSv1.2 alpn http/1.1" if front.certificate else ""
    # Whole requests, so that nobody behind waits for a client.
    buffer = min(front.longest_body + _HEAD, _LARGEST_BUFFER)
    yield from (
        "global",
        f"  maxconn {front.connections}",
        "  nbthread 1",
        f"  tune.bufsize {buffer}",
        f"  hard-stop-after {STOP_SECONDS}s",
        "defaults",
        "  mode http",
        "  option http-buffer-request",
        f"  timeout http-request {REQUEST_SECONDS}s",
        "  timeout http-keep-alive 60s",
        f"  timeout client {CLIENT_SECONDS}s",
        "  timeout connect 5s",
        "  timeout queue 60s",
        "  timeout server 10m",
        *(f"  errorfile {status} {file}" for status, file in front.errors.items()),
        "frontend api",
        *(f"  bind fd@{number} proto h1{tls}" for number in front.listening),
    )
    if front.per_address:
        yield from (
            "  tcp-request connection track-sc0 src,ipmask(32,64) table addresses",
            f"  tcp-request connection reject if {{ sc0_conn_cur gt {front.per_address} }}",
            f"  tcp-request connection reject if {{ sc0_conn_rate gt {10 * front.per_address} }}",
        )
    yield from (
        f"  http-request set-header {CLIENT_HEADER} %[src]",
        "  default_backend behind",
        "backend behind",
        "  http-reuse always",
        f"  server api abns@{front.behind} maxconn 200",
        "backend addresses",
        "  stick-table type ipv6 size 100k expire 60s store conn_cur,conn_rate(10s)",
    )
