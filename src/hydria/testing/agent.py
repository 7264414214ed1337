"""An amphora agent without an amphora: the same API over real TLS, for tests of whoever talks to agents."""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hydria.drivers.certificates.interface import CertificateAuthority
from hydria.wire.encoding import encode
from hydria.wire.state import Applied, DesiredState, Lacking, Superseded, decode_state


@dataclass
class FakeAgent:
    """What it was given and how it behaves.

    refusal: why it refuses states whose HAProxy configuration is ``refused``. close_after: whether it closes
    connections after an answer, without saying so. answer: (status, body) in place of what it would say.
    info: what it says of itself. knows_terms: False for an agent of a release that had none.
    """

    port: int
    generation: int = 0
    term: int = 0
    states: list[DesiredState] = field(default_factory=list)
    connections: int = 0
    refusal: str = "haproxy: unknown keyword 'refused'"
    close_after: bool = False
    answer: tuple[int, bytes] | None = None
    info: dict[str, object] = field(default_factory=dict)
    knows_terms: bool = True

    def put(self, body: bytes) -> tuple[int, bytes]:
        """What it says to a desired state."""
        try:
            state = decode_state(body)
        except (ValueError, KeyError, TypeError) as error:
            return 400, json.dumps({"error": str(error)}).encode()
        if not self.knows_terms and "term" in json.loads(body):
            return 400, json.dumps({"error": "unexpected keyword argument 'term'"}).encode()
        if state.term < self.term:
            return 412, encode(Superseded(self.term, fault="its term is over"))
        self.term = state.term
        if state.generation < self.generation:
            return 409, encode(Applied(self.generation, fault="it is older"))
        if state.haproxy == "refused":
            return 422, encode(Applied(self.generation, fault=self.refusal))
        has = {file.name for file in self.states[-1].files} if self.states else set()
        lacks = tuple(file.name for file in state.files if file.content is None and file.name not in has)
        if lacks:
            return 424, encode(Lacking(lacks))
        changed = all(dataclasses.replace(state, term=each.term) != each for each in self.states)
        self.states.append(state)
        self.generation = state.generation
        return 200, encode(Applied(state.generation, reloaded=changed))


@contextmanager
def fake_agent(authority: CertificateAuthority, amphora_id: str) -> Iterator[FakeAgent]:
    """Run an agent on a free port of 127.0.0.1, with a certificate in that amphora's id."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.client_ca_pem.decode())
    with tempfile.NamedTemporaryFile() as own:
        Path(own.name).write_bytes(authority.issue(amphora_id).pem)
        context.load_cert_chain(own.name)
    server = _Server(context)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.agent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.agent = FakeAgent(self.server_address[1])

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self.agent.connections += 1
        with self.context.wrap_socket(request, server_side=True) as channel:
            _Handler(channel, client_address, self)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is turned away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        known = self.path == "/v1/info"
        self._answer(200 if known else 404, json.dumps(self.server.agent.info).encode())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(*self.server.agent.put(body))

    def _answer(self, status: int, body: bytes) -> None:
        status, body = self.server.agent.answer or (status, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.server.agent.close_after

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
        """Say nothing."""
