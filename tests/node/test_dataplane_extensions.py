"""What Octavia does not have, on the wire."""

import gzip
import http.client
import http.server
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hydria.model.statuses import CompareType, PolicyAction, RuleType
from hydria.model.tree import Tree
from hydria.testing.trees import POOL, listener, load_balancer, member, policy, pool, rule, tree
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node
EQUAL, REGEX, STARTS = CompareType.EQUAL_TO, CompareType.REGEX, CompareType.STARTS_WITH
TEXT = b"<p>All work and no play.</p>\n" * 400


@pytest.fixture
def proxy() -> Iterator[lab.Proxy]:
    with tempfile.TemporaryDirectory(prefix="hydria-") as directory:
        proxy = lab.Proxy(Path(directory))
        try:
            yield proxy
        finally:
            proxy.stop()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; the query says what kind of answer it is."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers.items()))
        self.send_response(200)
        self.send_header("Content-Type", self.headers.get("X-Wanted", "text/html"))
        self.send_header("Content-Length", str(len(TEXT)))
        self.send_header("Server", "member")
        self.send_header("X-Old", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(TEXT)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def served(port: int, web: http.server.ThreadingHTTPServer, *more: object, **of_listener: object) -> Tree:
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, default_pool_id=POOL, **of_listener),
        pool(),
        member(1, address="127.0.0.1", protocol_port=web.server_address[1]),
        *more,
    )


@contextmanager
def asked(
    port: int, path: str = "/", method: str = "GET", source: str = "", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, 10, (source, 0) if source else None)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): it for name, it in headers.items()})
        yield connection.getresponse()
    finally:
        connection.close()


def status(port: int, path: str = "/", method: str = "GET", source: str = "") -> int:
    with asked(port, path, method, source) as answer:
        return answer.status


# type, key, comparison, value; requests (path, method, source) that match, and that do not
RULES = [
    (RuleType.METHOD, None, EQUAL, "PUT", [("/", "PUT")], [("/", "GET"), ("/PUT",), ("/", "put")]),
    (RuleType.METHOD, None, REGEX, "^(PUT|DEL)", [("/", "PUT"), ("/", "DELETE")], [("/", "HEAD")]),
    (
        RuleType.QUERY, "v", EQUAL, "2",
        [("/?v=2",), ("/a?x=1&v=2",), ("/?v=%32",)],
        [("/?v=22",), ("/?w=2",), ("/v=2",), ("/",), ("/?V=2",), ("/?v",)],
    ),
    (RuleType.QUERY, "q", EQUAL, '"a b"', [("/?q=a+b",), ("/?q=a%20b",)], [("/?q=a",), ("/?q=%22a+b%22",)]),
    (RuleType.QUERY, "a[b],(c)", STARTS, "x'$HOME", [("/?a[b],(c)=x'$HOME1",)], [("/?a[b]=x",), ("/?a=x",)]),
    (RuleType.QUERY, "n", REGEX, "^[0-9]+$", [("/?n=12",)], [("/?n=1a",), ("/?n=",)]),
    (
        RuleType.SOURCE_IP, None, EQUAL, "127.0.0.8/29",
        [("/", "GET", "127.0.0.9"), ("/", "GET", "127.0.0.15")], [("/", "GET", "127.0.0.7"), ("/",)],
    ),
    (RuleType.SOURCE_IP, None, EQUAL, "127.0.0.9", [("/", "GET", "127.0.0.9")], [("/", "GET", "127.0.0.8")]),
    (RuleType.SOURCE_IP, None, EQUAL, "2001:db8::/32", [], [("/",)]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(RULES)))
def test_more_types_of_rules(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer, number: int) -> None:
    kind, key, compare, value, good, bad = RULES[number]
    port, port_of_inverted = lab.free_port(), lab.free_port()
    test = {"type": kind, "key_name": key, "compare_type": compare, "value": value}
    second = listener(2, protocol_port=port_of_inverted, default_pool_id=POOL)
    policies = (
        policy(1, action=PolicyAction.REJECT),
        policy(2, action=PolicyAction.REJECT, listener_id=second.id),
    )
    rules = rule(1, **test), rule(2, invert=True, l7policy_id=policies[1].id, **test)
    proxy.serve(served(port, web, second, *policies, *rules))
    for inverted, at in ((False, port), (True, port_of_inverted)):
        for requests, matches in ((good, True), (bad, False)):
            for request in requests:
                expected = 403 if matches != inverted else 200
                assert status(at, *request) == expected, (request, inverted)


def test_compression_for_clients_that_take_it(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    plain = listener(2, protocol_port=lab.free_port(), default_pool_id=POOL, compression=False)
    proxy.serve(served(port, web, plain, compression=True))
    with asked(port, Accept_Encoding="br, gzip") as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "accept-encoding" in answer.headers["Vary"].lower()
        body = answer.read()
        assert len(body) < len(TEXT) / 10
        assert gzip.decompress(body) == TEXT
    for headers in ({}, {"Accept_Encoding": "br"}, {"Accept_Encoding": "gzip", "X_Wanted": "image/png"}):
        with asked(port, **headers) as answer:
            assert answer.headers["Content-Encoding"] is None
            assert answer.read() == TEXT
    with asked(plain.protocol_port, Accept_Encoding="gzip") as answer:
        assert answer.headers["Content-Encoding"] is None
