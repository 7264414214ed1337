"""A rendered configuration in a real HAProxy on loopback, with web servers as members."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from hydria.amphora import servers
from hydria.dataplane import Tuning, haproxy
from hydria.model.member import Member
from hydria.model.tree import Tree
from hydria.testing.trees import identifier
from hydria.wire import capabilities
from hydria.wire.state import File, Server

T = TypeVar("T")

# A test listener's share of the few descriptors that a test machine may have.
TUNING = Tuning(default_connection_limit=100)


def haproxy_version() -> str:
    """The version of the HAProxy that these tests find first."""
    said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


CAPABILITIES = capabilities.of_version(haproxy_version())


class _Handler(BaseHTTPRequestHandler):
    """Answers with its name and what it was asked."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def answer(self) -> None:
        member = self.server.member
        member.requests.append((f"{self.command} {self.path} {self.request_version}", self.headers.items()))
        if self.path.startswith("/slow"):
            member.released.wait(10)
        body = json.dumps({"member": member.name, "headers": self.headers.items()}).encode()
        self.send_response(member.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        for value in member.cookies:
            self.send_header("Set-Cookie", value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_arguments: object) -> None:
        pass


@dataclass
class WebServer:
    """A member. ``status`` is what it answers with; ``released`` lets requests of /slow end."""

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    status: int = 200
    cookies: list[str] = field(default_factory=list)
    requests: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator["WebServer"]:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        kind = type("Server", (ThreadingHTTPServer,), {"address_family": family, "request_queue_size": 128})
        server = kind((self.host, self.port), _Handler)
        server.member, self.port = self, server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass(frozen=True)
class Answer:
    """A response; ``member`` and ``seen`` (headers in lower case) are what the member said, if one did."""

    status: int
    member: str
    seen: list[tuple[str, str]]
    cookies: list[str]
    headers: list[tuple[str, str]]

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.seen if key.lower() == name.lower()]


class Proxy:
    """HAProxy in a directory of its own, started as the agent does it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pids: list[int] = []

    def start(self, config: str) -> None:
        """Start, or replace what runs."""
        (self.directory / "haproxy.cfg").write_text(config)
        arguments = ["-D", "-f", "haproxy.cfg", "-p", "haproxy.pid"]
        if self._pids:
            (self.directory / "server-state").write_text(self.ask("show servers state"))
            arguments += ["-x", "stats.sock", "-sf", str(self._pids[-1])]
        else:
            (self.directory / "server-state").write_text("1\n")
        with (self.directory / "said").open("w+") as said:
            done = subprocess.run(
                ["haproxy", *arguments], cwd=self.directory, stdout=said, stderr=said, check=False
            )
            said.seek(0)
            assert done.returncode == 0, said.read()
        self._pids.append(int((self.directory / "haproxy.pid").read_text()))

    def serve(self, tree: Tree, secrets: Mapping[str, str] | None = None) -> haproxy.HAProxyArtifacts:
        rendered = haproxy.render(tree.desired(), TUNING, secrets, CAPABILITIES)
        write(rendered.files, self.directory)
        self.start(rendered.config)
        return rendered

    def ask(self, *commands: str) -> str:
        """What HAProxy's runtime API answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.directory / "stats.sock"))
            connection.sendall("; ".join(commands).encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def ask_with(self, command: str, payload: str) -> str:
        """The answer to a command that takes a text."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.directory / "stats.sock"))
            connection.sendall(f"{command} <<\n{payload.rstrip()}\n\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def add(self, server: Server) -> None:
        """Add a server as the agent does."""
        assert "New server registered." in self.ask(servers.addition(server))
        for command in servers.readiness(server):
            assert self.ask(command).strip() == ""

    def statistics(self) -> dict[str, dict[str, str]]:
        """``backend/server`` -> its row of ``show stat``."""
        header, *rows = self.ask("show stat").removeprefix("# ").strip().splitlines()
        stats = [dict(zip(header.split(","), row.split(","), strict=False)) for row in rows]
        return {f"{row['pxname']}/{row['svname']}": row for row in stats}

    def stop(self) -> None:
        for pid in self._pids:
            with suppress(ProcessLookupError, FileNotFoundError):
                if Path(f"/proc/{pid}/comm").read_text() == "haproxy\n":
                    os.kill(pid, signal.SIGKILL)


def write(files: Iterable[File], directory: Path) -> None:
    """Write the files that a configuration names."""
    (directory / "tls").mkdir(exist_ok=True)
    for file in files:
        (directory / "tls" / file.name).write_text(file.content)


def check(config: str, directory: Path) -> str:
    """What ``haproxy -c`` says against a configuration, warnings included; "" when it is content."""
    (directory / "haproxy.cfg").write_text(config)
    (directory / "server-state").write_text("1\n")
    done = subprocess.run(
        ["haproxy", "-c", "-f", "haproxy.cfg", "-n", "100"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("[NOTICE]")]
    assert complaints or done.returncode == 0
    return "\n".join(complaints)


def teaches(peers: str) -> bool:
    """Whether a process, by its answer to ``show peers``, has done with looking for what it could learn itself."""
    (flags,) = re.findall(r" id=\S+ .*flags=0x([0-9a-f]+)", peers)
    return int(flags, 16) & 3 == 3


def get(
    port: int,
    path: str = "/",
    *,
    host: str = "127.0.0.1",
    source: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, 10, (source, 0) if source else None)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read()
        said = json.loads(body) if body.startswith(b"{") else {"member": "", "headers": []}
        cookies = response.headers.get_all("Set-Cookie") or []
        return Answer(
            response.status,
            said["member"],
            [tuple(each) for each in said["headers"]],
            cookies,
            response.getheaders(),
        )
    finally:
        connection.close()


def eventually(condition: Callable[[], T], seconds: float = 10) -> T:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)
    return value


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def free_ports(count: int) -> list[int]:
    """Ports that differ: one after another, the kernel may give out the same again."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def web_servers(count: int, host: str = "127.0.0.1") -> Iterator[list[WebServer]]:
    """``count`` members in service, with the names of :func:`hydria.testing.trees.member`."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(WebServer(identifier(Member, number), host).serving())
            for number in range(1, count + 1)
        ]
