"""As much of Neutron as the clients look up: lists of what ids and names there are.

``openstack loadbalancer create --vip-subnet-id NAME`` asks the network service for the subnet before it asks
Hydria for anything. The noop network driver has every id, so what is found here exists there, too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.clients.served import SUBNET

NAMES = {
    "networks": {"net": "22222222-2222-4222-8222-222222222222"},
    "subnets": {"subnet": SUBNET, "subnet2": "33333333-3333-4333-8333-333333333333"},
    "ports": {"port": "44444444-4444-4444-8444-444444444444"},
    "policies": {"gold": "55555555-5555-4555-8555-555555555555"},
    "security-groups": {"web": "66666666-6666-4666-8666-666666666666"},
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kind = url.path.rstrip("/").rpartition("/")[2]
        if not kind:
            links = [{"rel": "self", "href": f"http://{self.headers['Host']}/v2.0"}]
            self._answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})
            return
        if kind not in NAMES:
            self._answer(404, {"NeutronError": {"message": f"nothing at {self.path}"}})
            return
        wanted = parse_qs(url.query)
        found = [{"id": identifier, "name": name} for name, identifier in NAMES[kind].items()]
        for key in ("id", "name"):
            found = [item for item in found if item[key] in wanted.get(key, [item[key]])]
        self._answer(200, {kind.replace("-", "_"): found})

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing: a refusal shows in what the client says."""


@contextmanager
def network_service() -> Iterator[str]:
    """Its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
