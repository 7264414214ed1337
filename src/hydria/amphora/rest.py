"""The agent's API: HTTPS on the LB network, for those that show the controllers' certificate.

``GET /v1/info`` what runs here; ``GET /v1/state`` the wire ``Applied`` of what serves; ``PUT /v1/state`` a
wire ``DesiredState``: 200 applied, 409 older than what serves, 422 refused (both with ``Applied``), 412 sent
under a lease that is over (``Superseded``), 424 it goes on with files that are not here (``Lacking``), 400
not a state at all. One thread per connection, so that a client that hangs keeps nobody else waiting.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from hydria.amphora import controllers, kernel, payload
from hydria.amphora.faults import Failed, Lacking, Malformed, Refused, Stale, Superseded
from hydria.amphora.log import Rare
from hydria.wire import boot
from hydria.wire import state as wire
from hydria.wire.encoding import encode
from hydria.wire.state import Applied, DesiredState

_BODY_LIMIT = 64 * 1024 * 1024
_CONNECTIONS = 64
_HANDSHAKE_SECONDS = 5.0
_READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """What the API is about."""

    apply: Callable[[DesiredState], Applied]
    generation: Callable[[], int]
    info: Callable[[], dict[str, object]]


def tls(boot_dir: Path) -> ssl.SSLContext:
    """The amphora's own certificate, and whose clients are looked at (:mod:`.controllers`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(boot_dir / boot.SERVER_PEM)
    context.load_verify_locations(boot_dir / boot.CLIENT_CA_PEM)
    return context


class Server(socketserver.ThreadingTCPServer):
    """Listens from the start; :meth:`serve` answers in threads of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, BaseHTTPRequestHandler)
        self.service: Service
        self._context = context
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._not_served = Rare("agent")

    def server_bind(self) -> None:
        """Listen on the LB network alone: the kernel takes a packet for any address on any interface.

        Otherwise clients on the VIP network would only need the amphora's MAC address to get here.
        """
        device = kernel.interface_of(str(self.server_address[0]))
        if device:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        super().server_bind()

    def serve(self, service: Service) -> None:
        """Answer requests from now on, in the background."""
        self.service = service
        threading.Thread(target=self.serve_forever, args=(3600.0,), daemon=True).start()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  (as inherited)
        """Nobody comes from the amphora itself, except HAProxy, for a member with the agent's address."""
        return bool(client_address[0] != self.server_address[0])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Refuse at the door what would be more than a few controllers' connections."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, within a bound."""
        request.settimeout(_HANDSHAKE_SECONDS)
        with self._context.wrap_socket(request, server_side=True) as channel:
            controllers.check(channel)
            _Handler(channel, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (as inherited)
        """Note who is not let in, but let nobody fill the log by trying."""
        self._not_served(f"connection from {client_address[0]} ended: {sys.exception()!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "hydria-amphora"
    sys_version = ""
    timeout = _READ_SECONDS
    wbufsize = -1  # one packet per answer
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        service = self.server.service
        if self.path == "/v1/info":
            self._answer(200, json.dumps(service.info()).encode())
        elif self.path == "/v1/state":
            self._answer(200, encode(Applied(service.generation())))
        else:
            self.send_error(404, f"no such path: {self.path}")

    def do_PUT(self) -> None:
        if self.path != "/v1/state":
            self.send_error(404, f"no such path: {self.path}")
            return
        body = self._body()
        if body is None:
            return
        service = self.server.service
        try:
            self._answer(200, encode(service.apply(payload.decode(body))))
        except Malformed as error:
            self._answer(400, _error(str(error)))
        except Superseded as error:
            self._answer(412, encode(wire.Superseded(error.term, str(error))))
        except Stale as error:
            self._answer(409, encode(Applied(service.generation(), fault=str(error))))
        except Lacking as error:
            self._answer(424, encode(wire.Lacking(error.names)))
        except Refused as error:
            self._answer(422, encode(Applied(service.generation(), fault=str(error))))
        except Failed as error:
            self._answer(500, _error(str(error)))
        except Exception as error:  # the agent goes on; the controller tries again
            self._answer(500, _error(f"{type(error).__name__}: {error}"))
            raise

    def _body(self) -> bytes | None:
        """The request's body; None when it was refused, which also ends the connection."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self.send_error(411, "a Content-Length is needed")
        elif int(length) > _BODY_LIMIT:
            self.send_error(413, f"the body is larger than {_BODY_LIMIT} bytes")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self.close_connection = True
        return None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors are JSON, also those that http.server finds; the rest of the connection is not trusted."""
        self.close_connection = True
        self._answer(code, _error(message or explain or str(code)))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
        """Say nothing: what matters is logged where it happens."""


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()
