"""Members that close connections while requests are on their way: what is sent again, and what never is."""

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from hydria.model.pool import SessionPersistence
from hydria.model.statuses import Algorithm, PersistenceType
from hydria.model.tree import Tree
from hydria.testing.trees import POOL, listener, load_balancer, member, pool, tree

pytestmark = pytest.mark.node

SAFE = ["GET", "HEAD", "OPTIONS"]
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]
ROUNDS = 12
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is left is thrown away, and the other end told so


@dataclass
class Fickle:
    """A member that closes connections without an answer, now and then.

    when: "kept", as the second request of a connection has come; "fresh", on each second connection, as the
    first one has; "early", on each second one before it is read. reset: with RST.
    """

    when: str
    reset: bool
    name: str = ""
    port: int = 0
    connections: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def serving(self) -> Iterator["Fickle"]:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            self.port = listening.getsockname()[1]
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            try:
                yield self
            finally:
                listening.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as requests, suppress(OSError):
            if self.when == "early" and number % 2:
                self.dropped["nothing"] += 1
                self._drop(connection)
                return
            for count in range(1, ROUNDS):
                request = requests.readline().decode().removesuffix(" HTTP/1.1\r\n")
                if not request:
                    return
                headers = http.client.parse_headers(requests)
                requests.read(int(headers.get("Content-Length") or 0))
                self.seen[request] += 1
                if (self.when, count) == ("kept", 2) or (self.when == "fresh" and number % 2):
                    self.dropped[request] += 1
                    self._drop(connection)
                    return
                head = f"HTTP/1.1 200 OK\r\nX-Member: {self.name}\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(head.encode())

    def _drop(self, connection: socket.socket) -> None:
        if self.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@pytest.fixture(params=["kept", "fresh", "early"])
def when(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["closes", "resets"])
def members(request: pytest.FixtureRequest, when: str) -> Iterator[list[Fickle]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(Fickle(when, request.param, name).serving()) for name in ("first", "second")
        ]


class Client:
    """One that keeps its connection, unless a request is to have one of its own."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, 20)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        self._connection.request(method, path, b"abc" if method in UNSAFE else None, headers or {})
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def close(self) -> None:
        self._connection.close()


def served(port: int, members: list[Fickle], **of_pool: object) -> Tree:
    return tree(
        load_balancer(vip_address="127.0.0.1"),
        listener(protocol_port=port, default_pool_id=POOL),
        pool(**of_pool),
        *(
            member(number, address="127.0.0.1", protocol_port=each.port)
            for number, each in enumerate(members, start=1)
        ),
    )


@pytest.mark.parametrize("method", SAFE)
def test_a_safe_request_without_an_answer_is_sent_again(proxy, port, members, when, method):
    proxy.serve(served(port, members))
    client = Client(port)
    for number in range(ROUNDS):
        assert client.ask(method, f"/{number}").status == 200
        if when != "kept":
            client.close()
    assert sum((each.dropped for each in members), Counter())


@pytest.mark.parametrize("method", UNSAFE)
def test_any_other_request_reaches_a_member_once(proxy, port, members, when, method):
    proxy.serve(served(port, members))
    client = Client(port)
    for number in range(ROUNDS):
        # The client's connection is closed, too, where it knows what that means.
        with suppress(http.client.RemoteDisconnected, ConnectionResetError):
            assert client.ask("GET", "/").status == 200
            assert client.ask(method, f"/{number}").status in (200, 502)
        if when != "kept":
            client.close()
    changes = Counter(
        {
            request: count
            for request, count in sum((each.seen for each in members), Counter()).items()
            if request.startswith(f"{method} ")
        }
    )
    assert changes
    assert set(changes.values()) == {1}, changes


@pytest.mark.parametrize(
    "sticks",
    [
        {"session_persistence": SessionPersistence(type=PersistenceType.HTTP_COOKIE)},
        {"session_persistence": SessionPersistence(type=PersistenceType.SOURCE_IP)},
        {"lb_algorithm": Algorithm.SOURCE_IP},
    ],
    ids=["cookie", "address", "hash"],
)
def test_who_sticks_to_a_member_is_sent_to_it_again(proxy, port, members, when, sticks):
    proxy.serve(served(port, members, **sticks))
    client = Client(port)
    cookie: dict[str, str] = {}
    answering = Counter()
    for number in range(ROUNDS):
        answer = client.ask("GET", f"/{number}", cookie)
        assert answer.status == 200
        answering[answer.headers["X-Member"]] += 1
        if said := answer.headers["Set-Cookie"]:
            cookie = {"Cookie": said.partition(";")[0]}
        if when != "kept":
            client.close()
    assert len(answering) == 1, answering
    assert sum((each.dropped for each in members), Counter())
