"""What Octavia does not have, on the wire."""

import gzip
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from hydria.model.modification import Direction, FixedResponse, HeaderChange, Operation, UrlRewrite
from hydria.model.statuses import CompareType, PolicyAction, RuleType
from hydria.model.tree import Tree
from hydria.testing.trees import POOL, listener, load_balancer, member, policy, pool, rule, tree
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node
EQUAL, REGEX, STARTS = CompareType.EQUAL_TO, CompareType.REGEX, CompareType.STARTS_WITH
TEXT = b"<p>All work and no play.</p>\n" * 400


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; the query says what kind of answer it is."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(OSError):  # a proxy that has gone is no news
            super().handle()

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


def behind(path: str, number: int) -> object:
    return rule(number, l7policy_id=policy(number).id, value=path)


HOSTILE = 'it\'s "5" %[src] $HOME \\1 #x; {a} %% \\n é'.encode("ascii", "ignore").decode()


def test_fixed_responses(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    responses = [
        FixedResponse(status=200, content_type="application/json; charset=utf-8", body='{"a": "b"}'),
        FixedResponse(status=503, body=HOSTILE),
        FixedResponse(status=204),
        FixedResponse(status=299, body="'" * 2048),
    ]
    policies = [
        policy(number, action=PolicyAction.FIXED_RESPONSE, fixed_response=each)
        for number, each in enumerate(responses, 1)
    ]
    rules = [behind(f"/{number}", number) for number in range(1, len(responses) + 1)]
    proxy.serve(served(port, web, *policies, *rules))
    web.seen.clear()
    for number, expected in enumerate(responses, 1):
        with asked(port, f"/{number}/x") as answer:
            assert answer.status == expected.status
            assert answer.read().decode() == (expected.body or "")
            kind = (expected.content_type or "text/plain") if expected.body else None
            assert answer.headers["Content-Type"] == kind
    assert web.seen == []
    assert status(port, "/") == 200


def test_headers_change_on_the_way(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    request, response = Direction.REQUEST, Direction.RESPONSE
    changes = (
        HeaderChange(direction=request, operation=Operation.SET, name="Host", value="inner.example"),
        HeaderChange(direction=request, operation=Operation.SET, name="X-Set", value=HOSTILE),
        HeaderChange(direction=request, operation=Operation.ADD, name="X-Add", value="2"),
        HeaderChange(direction=request, operation=Operation.REMOVE, name="X-Gone"),
        HeaderChange(direction=response, operation=Operation.SET, name="Server", value="none of yours"),
        HeaderChange(direction=response, operation=Operation.ADD, name="Set-Cookie", value="a=b; Secure"),
        HeaderChange(direction=response, operation=Operation.REMOVE, name="X-Old"),
    )
    port = lab.free_port()
    modify = policy(1, action=PolicyAction.MODIFY, header_changes=changes)
    proxy.serve(served(port, web, modify, behind("/1", 1)))
    sent = {"X_Set": "client", "X_Add": "1", "X_Gone": "1"}
    web.seen.clear()
    with asked(port, "/1", **sent) as answer:
        assert answer.headers.get_all("Server") == ["none of yours"]
        assert (answer.headers["Set-Cookie"], answer.headers["X-Old"]) == ("a=b; Secure", None)
    with asked(port, "/2", **sent) as answer:
        assert answer.headers.get_all("Server")[-1] == "member"
        assert (answer.headers["Set-Cookie"], answer.headers["X-Old"]) == (None, "1")
    (_, _, changed), (_, _, unchanged) = web.seen
    named = [(name.lower(), value) for name, value in changed]
    assert [value for name, value in named if name == "host"] == ["inner.example"]
    assert [value for name, value in named if name == "x-set"] == [HOSTILE]
    assert [value for name, value in named if name == "x-add"] == ["1", "2"]
    assert "x-gone" not in dict(named)
    assert {("x-set", "client"), ("x-add", "1"), ("x-gone", "1")} <= {
        (name.lower(), value) for name, value in unchanged
    }


def test_headers_change_of_what_is_answered_here_too(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    """A refusal of a later policy, and no member; what a policy before the change has answered stays."""
    response = Direction.RESPONSE
    changes = (
        HeaderChange(direction=response, operation=Operation.SET, name="X-Set", value="1"),
        HeaderChange(direction=response, operation=Operation.ADD, name="X-Add", value="2"),
        HeaderChange(direction=response, operation=Operation.REMOVE, name="Cache-Control"),
    )
    port = lab.free_port()
    policies = [
        policy(1, action=PolicyAction.REJECT),
        policy(2, action=PolicyAction.MODIFY, header_changes=changes),
        policy(3, action=PolicyAction.REJECT),
    ]
    rules = behind("/early", 1), behind("/", 2), behind("/late", 3)
    (only,) = proxy.serve(served(port, web, *policies, *rules)).servers

    def headers(path: str, status: int) -> tuple[str | None, str | None, str | None]:
        with asked(port, path) as answer:
            assert answer.status == status
            return answer.headers["X-Set"], answer.headers["X-Add"], answer.headers["Cache-Control"]

    assert headers("/late", 403) == ("1", "2", None)
    assert headers("/early", 403) == (None, None, "no-cache")
    assert headers("/x", 200) == ("1", "2", None)
    proxy.ask(f"set server {only.backend}/{only.name} state maint")
    assert headers("/x", 503) == ("1", "2", None)


# prefix, replacement, and what becomes of paths
REWRITES = [
    ("/old", "/new", {"/old": "/new", "/old/a?b=c": "/new/a?b=c", "/older": "/older", "/x/old": "/x/old"}),
    ("/old/", "/", {"/old": "/", "/old/": "/", "/old/a/b": "/a/b", "/old/old/x": "/old/x", "/olds": "/olds"}),
    ("/", "/new", {"/": "/new/", "/a?x=/": "/new/a?x=/"}),
    ("/a.b+(c)$", "/%20x'$HOME", {"/a.b+(c)$/d": "/%20x'$HOME/d", "/axb+(c)$": "/axb+(c)$"}),
]


@pytest.mark.parametrize("number", range(len(REWRITES)))
def test_paths_change_on_the_way(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer, number: int) -> None:
    prefix, replacement, paths = REWRITES[number]
    port = lab.free_port()
    rewrite = UrlRewrite(prefix=prefix, replacement=replacement)
    modify = policy(1, action=PolicyAction.MODIFY, url_rewrite=rewrite)
    proxy.serve(served(port, web, modify, behind("/", 1)))
    for path, expected in paths.items():
        web.seen.clear()
        assert status(port, path) == 200
        assert [seen for _, seen, _ in web.seen] == [expected], path


def test_policies_behind_one_that_modifies_are_tried_on_what_the_client_has_sent(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port = lab.free_port()
    away = policy(1, action=PolicyAction.MODIFY, url_rewrite=UrlRewrite(prefix="/in", replacement="/out"))
    mark = HeaderChange(direction=Direction.REQUEST, operation=Operation.SET, name="X-Mark", value="1")
    marks = policy(2, action=PolicyAction.MODIFY, header_changes=(mark,))
    rejects = policy(3, action=PolicyAction.REJECT)
    never = policy(4, action=PolicyAction.MODIFY, url_rewrite=UrlRewrite(prefix="/", replacement="/no"))
    elsewhere = policy(5, action=PolicyAction.REDIRECT_TO_POOL, redirect_pool_id=POOL)
    late = policy(6, action=PolicyAction.MODIFY, url_rewrite=UrlRewrite(prefix="/in", replacement="/no"))
    policies = (away, marks, rejects, never, elsewhere, late)
    paths = {1: "/in", 2: "/in", 3: "/out", 4: "/never", 5: "/in", 6: "/in"}
    proxy.serve(served(port, web, *policies, *(behind(path, number) for number, path in paths.items())))
    web.seen.clear()
    assert status(port, "/in/x") == 200
    ((_, path, headers),) = web.seen
    assert path == "/out/x"
    assert ("x-mark", "1") in [(name.lower(), value) for name, value in headers]
    assert status(port, "/out/x") == 403
