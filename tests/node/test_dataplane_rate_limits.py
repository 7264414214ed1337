"""Rate limits on the wire: what each action does, for each metric, to one client and not to another."""

from __future__ import annotations

import http.server
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from hydria.model.resource import Resource
from hydria.model.statuses import (
    ALPNProtocol,
    ListenerProtocol,
    PoolProtocol,
    RateLimitAction,
    RateLimitMetric,
)
from hydria.model.tree import Tree
from hydria.testing.trees import (
    POOL,
    limit_policy,
    limit_rule,
    listener,
    load_balancer,
    member,
    pool,
    tree,
)
from tests import certificates
from tests.node import dataplane_lab as lab

pytestmark = pytest.mark.node
DENY, REJECT = RateLimitAction.DENY, RateLimitAction.REJECT
DROP, QUEUE = RateLimitAction.SILENT_DROP, RateLimitAction.QUEUE
REQUESTS, PER_URL, KBYTES = RateLimitMetric.REQUESTS, RateLimitMetric.REQUESTS_PER_URL, RateLimitMetric.KBYTES
ONE, OTHER = "127.0.0.1", "127.0.0.2"
# A window that does not end while a test runs: what is refused once stays so.
LONG = 600
CLOSED, NOTHING = "closed", "nothing"


class Answers(http.server.BaseHTTPRequestHandler):
    """As many bytes as the path says: ``/anything/100000``; else two."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen.append(self.path)
        last = self.path.rpartition("/")[2]
        self.send_response(200)
        self.send_header("Content-Length", last if last.isdigit() else "2")
        self.end_headers()
        self.wfile.write(b"x" * (int(last) if last.isdigit() else 2))

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    kind = type("Server", (http.server.ThreadingHTTPServer,), {"request_queue_size": 128})
    server = kind((ONE, 0), Answers)
    server.seen, server.lock = [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def limited(web: http.server.ThreadingHTTPServer, port: int, *limits: Resource, **of_listener: Any) -> Tree:
    tcp = of_listener.get("protocol") in (ListenerProtocol.TCP, ListenerProtocol.HTTPS)
    return tree(
        load_balancer(vip_address=ONE),
        listener(protocol_port=port, default_pool_id=POOL, **of_listener),
        pool(protocol=PoolProtocol.TCP if tcp else PoolProtocol.HTTP),
        member(1, address=ONE, protocol_port=web.server_address[1]),
        *limits,
    )


def get(port: int, path: str = "/", source: str = ONE, patience: float = 30) -> str:
    """The status of the answer; or that the connection was closed without one; or that nothing happened."""
    to = "::1" if ":" in source else ONE
    with socket.create_connection((to, port), patience, (source, 0)) as connection:
        connection.settimeout(patience)
        received = b""
        try:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            while chunk := connection.recv(1 << 16):
                received = received or chunk
        except TimeoutError:
            return NOTHING
        except OSError:
            return CLOSED
    return received[9:12].decode() or CLOSED


def at_once(port: int, count: int, **how: Any) -> Counter[str]:
    """How so many requests at a time are answered."""
    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(lambda _: get(port, **how), range(count)))


@pytest.mark.parametrize(("action", "seen"), [(DENY, "429"), (REJECT, CLOSED)])
def test_requests_beyond_the_threshold(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer, action: RateLimitAction, seen: str
) -> None:
    port = lab.free_port()
    proxy.serve(limited(web, port, limit_policy(action=action), limit_rule(threshold=5, interval=LONG)))
    assert [get(port) for _ in range(8)] == ["200"] * 5 + [seen] * 3
    assert [get(port, source=OTHER) for _ in range(6)] == ["200"] * 5 + [seen]


def test_silence(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    proxy.serve(limited(web, port, limit_policy(action=DROP), limit_rule(threshold=2, interval=LONG)))
    assert [get(port), get(port)] == ["200", "200"]
    assert get(port, patience=1) == NOTHING
    assert get(port, source=OTHER) == "200"


def test_requests_are_held_back_and_none_fails(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port, interval, threshold = lab.free_port(), 2, 10
    proxy.serve(
        limited(web, port, limit_policy(action=QUEUE), limit_rule(threshold=threshold, interval=interval))
    )
    began = time.monotonic()
    assert at_once(port, 25) == {"200": 25}
    # 10 at once, and the others not before the window has slid on: at most 10 of them in each.
    assert time.monotonic() - began > interval
    assert get(port, source=OTHER) == "200"


def test_kbytes_limit_who_downloads_much_and_nobody_else(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port = lab.free_port()
    proxy.serve(limited(web, port, limit_policy(), limit_rule(metric=KBYTES, threshold=100, interval=LONG)))
    assert [get(port, "/small") for _ in range(5)] == ["200"] * 5
    assert get(port, "/big/200000") == "200"  # what has begun goes on
    assert get(port, "/small") == "429"
    assert get(port, "/big/50000", source=OTHER) == "200"
    assert get(port, "/small", source=OTHER) == "200"


def test_kbytes_count_while_a_download_lasts(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    proxy.serve(limited(web, port, limit_policy(), limit_rule(metric=KBYTES, threshold=100, interval=LONG)))
    with socket.create_connection((ONE, port), 10) as connection:
        connection.sendall(b"GET /big/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        received = 0
        while received < 1_000_000:
            received += len(connection.recv(1 << 16))
        lab.eventually(lambda: get(port, "/small") == "429")


def test_requests_to_single_urls(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    rule = limit_rule(metric=PER_URL, threshold=2, interval=LONG, urls=["/login", "/a;b%20c"])
    proxy.serve(limited(web, port, limit_policy(), rule))
    assert [get(port, path) for path in ("/login", "/login?x=1", "/login", "/login?y")] == [
        "200", "200", "429", "429",
    ]  # fmt: skip
    assert [get(port, "/a;b%20c") for _ in range(3)] == ["200", "200", "429"]  # each for itself
    assert {get(port, path) for path in ("/", "/login/", "/Login", "/log", "/a") for _ in range(3)} == {"200"}
    assert get(port, "/login", source=OTHER) == "200"


def test_all_rules_of_a_policy_have_to_be_broken(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port = lab.free_port()
    rules = (
        limit_rule(1, threshold=3, interval=LONG),
        limit_rule(2, metric=KBYTES, threshold=100, interval=LONG),
    )
    proxy.serve(limited(web, port, limit_policy(), *rules))
    assert [get(port) for _ in range(6)] == ["200"] * 6  # many, but little
    assert get(port, "/big/200000") == "200"
    assert get(port) == "429"
    assert [get(port, path, OTHER) for path in ("/big/200000", "/", "/", "/")] == ["200"] * 3 + ["429"]


def test_each_policy_of_a_listener_limits_by_itself(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port = lab.free_port()
    login = limit_policy(1)
    everything = limit_policy(2, action=REJECT)
    idle = limit_policy(3, admin_state_up=False)
    ruleless = limit_policy(4)
    proxy.serve(
        limited(
            web,
            port,
            login,
            limit_rule(1, metric=PER_URL, threshold=1, interval=LONG, urls=["/login"]),
            everything,
            limit_rule(2, rate_limit_policy_id=everything.id, threshold=3, interval=LONG),
            idle,
            limit_rule(3, rate_limit_policy_id=idle.id, threshold=1, interval=LONG),
            ruleless,
        )
    )
    asked = ["/login", "/login", "/", "/", "/", "/login"]
    assert [get(port, path) for path in asked] == ["200", "429", "200", "200", CLOSED, "429"]


def test_one_is_not_held_back_only_to_be_let_through_what_another_policy_denies(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer
) -> None:
    port = lab.free_port()
    slow = limit_policy(2, action=QUEUE)
    proxy.serve(
        limited(
            web,
            port,
            limit_policy(1),
            limit_rule(1, threshold=5, interval=LONG),
            slow,
            limit_rule(2, rate_limit_policy_id=slow.id, threshold=3, interval=1),
        )
    )
    assert at_once(port, 12) == {"200": 5, "429": 7}
    began = time.monotonic()
    assert get(port) == "429"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "rule",
    [
        limit_rule(metric=PER_URL, threshold=3, interval=1, urls=["/login"]),
        limit_rule(metric=KBYTES, threshold=1, interval=1),
    ],
)
@pytest.mark.parametrize("host", [ONE, "::1"])
def test_whatever_is_counted_can_hold_requests_back(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer, rule: Resource, host: str
) -> None:
    port = lab.free_port(host)
    queue = limit_policy(action=QUEUE)
    made = limited(web, port, queue, rule)
    proxy.serve(replace(made, load_balancer=load_balancer(vip_address=host)))
    path = "/login" if rule.metric is PER_URL else "/login/400"
    began = time.monotonic()
    assert [get(port, path, host) for _ in range(8)] == ["200"] * 8
    assert time.monotonic() - began > 1


def test_a_client_that_waits_can_go(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    """Nothing of it is left, and nobody waits behind it."""
    port = lab.free_port()
    proxy.serve(limited(web, port, limit_policy(action=QUEUE), limit_rule(threshold=2, interval=1)))
    assert at_once(port, 2) == {"200": 2}
    for _ in range(5):
        with socket.create_connection((ONE, port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: gone\r\n\r\n")
    assert get(port) == "200"
    lab.eventually(lambda: f"fe={listener().id} " not in proxy.ask("show sess"))


@pytest.mark.parametrize("protocol", [ListenerProtocol.TCP, ListenerProtocol.HTTPS])
def test_connections_count_where_requests_are_not_seen(
    proxy: lab.Proxy, web: http.server.ThreadingHTTPServer, protocol: ListenerProtocol
) -> None:
    port = lab.free_port()
    limits = limit_policy(action=REJECT), limit_rule(threshold=2, interval=LONG)
    proxy.serve(limited(web, port, *limits, protocol=protocol))
    assert [get(port), get(port)] == ["200", "200"]
    assert get(port) == CLOSED
    assert get(port, source=OTHER) == "200"


def test_kbytes_of_connections(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    rule = limit_rule(metric=KBYTES, threshold=100, interval=LONG)
    proxy.serve(limited(web, port, limit_policy(action=REJECT), rule, protocol=ListenerProtocol.TCP))
    assert get(port, "/big/50000") == "200"
    assert get(port, "/big/200000") == "200"
    lab.eventually(lambda: get(port) == CLOSED)
    assert get(port, source=OTHER) == "200"


def test_limits_outlive_the_process(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    made = limited(web, port, limit_policy(), limit_rule(threshold=5, interval=LONG))
    proxy.serve(made)
    assert [get(port) for _ in range(6)] == ["200"] * 5 + ["429"]
    # The very first process looks for a predecessor for five seconds, and before that it teaches nobody.
    lab.eventually(lambda: lab.teaches(proxy.ask("show peers")))
    proxy.serve(replace(made, listeners=(*made.listeners, listener(2, protocol_port=lab.free_port()))))
    table = f"show table persistence/{listener().id}.client.{LONG}"
    lab.eventually(lambda: "http_req_rate" in proxy.ask(table))  # the former one has taught it
    assert get(port) == "429"
    assert get(port, source=OTHER) == "200"


def test_https_clients(proxy: lab.Proxy, web: http.server.ThreadingHTTPServer) -> None:
    port = lab.free_port()
    tls = {
        "protocol": ListenerProtocol.TERMINATED_HTTPS,
        "default_tls_container_ref": "server",
        "alpn_protocols": [ALPNProtocol.H2],
    }
    made = limited(web, port, limit_policy(), limit_rule(threshold=3, interval=LONG), **tls)
    proxy.serve(made, {"server": certificates.make("www.example.org").bundle})
    # Of HTTP/2, where many requests share a connection.
    urls = [f"https://{ONE}:{port}/{number}" for number in range(5)]
    done = subprocess.run(
        [
            *("curl", "-ks", "--http2", "-w", "%{http_version} %{http_code}\n"),
            *(word for url in urls for word in ("-o", "/dev/null", url)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split("\n")[:5] == ["2 200"] * 3 + ["2 429"] * 2
