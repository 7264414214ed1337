"""``make demo``: a load balancer from the REST API to the last packet, watched while it works."""

from __future__ import annotations

import argparse
import http.client
import http.server
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from hydria import settings

API = ("127.0.0.1", 9876)
_SERVERS = 4  # the fourth one joins and leaves under load


class DemoFailed(Exception):  # noqa: N818  (the text is all there is to it)
    """The demo cannot go on; the text says why."""


def main() -> int:
    """Run the demo; its exit status."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--once", action="store_true", help="end by itself instead of waiting for Ctrl-C")
    parser.add_argument(
        "--state-dir", default="", help="keep state and logs here; otherwise a temporary directory"
    )
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("The demo needs root, for it makes namespaces and bridges: run it as root.", file=sys.stderr)
        return 1
    directory = Path(options.state_dir or tempfile.mkdtemp(prefix="hydria-demo-"))
    for number in (signal.SIGINT, signal.SIGTERM):  # explicitly: a shell may have had SIGINT ignored
        signal.signal(number, _interrupt)
    status = 0
    try:
        with controllers(directory), web_servers() as servers:
            tell(servers, once=options.once)
    except DemoFailed as error:
        print(
            f"\nThe demo failed: {error}\nThe controllers' log is {directory / 'hydria.log'}", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print()
        status = 130 if options.once else 0
    if not options.state_dir:
        shutil.rmtree(directory, ignore_errors=True)
    print("Taken down: load balancer, amphora, networks and servers.")
    return status


def tell(servers: list[WebServer], *, once: bool) -> None:
    """The demo itself, step by step."""
    gateway = _gateway()
    for server in servers:
        server.listen(gateway)
    say(
        f"{_SERVERS - 1} web servers answer on {gateway}, ports "
        + ", ".join(str(one.port) for one in servers[:-1])
    )
    order = time.monotonic()
    balancer = call("POST", "/v2/lbaas/loadbalancers", {"loadbalancer": _order(gateway, servers[:-1])})
    balancer = balancer["loadbalancer"]
    vip, identifier = balancer["vip_address"], balancer["id"]
    say(f"ordered load balancer {identifier}, VIP {vip}")
    say("it has one HTTP listener, one pool, three members and one health monitor")
    first = _first_answer(vip, order)
    active = _await_status(identifier, "provisioning_status", "ACTIVE") - order
    say(f"order → ACTIVE {active * 1000:.0f} ms, order → first answer through the VIP {first * 1000:.0f} ms")
    online = _await_status(identifier, "operating_status", "ONLINE") - order
    say(f"order → ONLINE {online:.1f} s (the health monitor has seen every member)")
    answers = Counter(_get(vip) for _ in range(300))
    say("300 requests: " + ", ".join(f"{name} answered {count}" for name, count in sorted(answers.items())))
    pool = call("GET", f"/v2/lbaas/loadbalancers/{identifier}")["loadbalancer"]["pools"][0]["id"]
    _member_under_load(vip, pool, gateway, servers[-1])
    _kill_amphora(vip, identifier)
    if once:
        return
    print(_GO_ON.format(url=f"http://{API[0]}:{API[1]}", vip=vip, pool=pool), flush=True)
    while True:
        time.sleep(3600)


def _member_under_load(vip: str, pool: str, gateway: str, server: WebServer) -> None:
    with Load(vip) as load:
        time.sleep(0.5)
        started = time.monotonic()
        body = {"member": {"address": gateway, "protocol_port": server.port, "name": server.name}}
        member = call("POST", f"/v2/lbaas/pools/{pool}/members", body)["member"]["id"]
        while not load.answers[server.name]:
            if time.monotonic() - started > 15:
                raise DemoFailed(f"member {server.name} did not answer within 15 s")
            time.sleep(0.001)
        joined = time.monotonic() - started
        time.sleep(0.5)
        call("DELETE", f"/v2/lbaas/pools/{pool}/members/{member}")
        time.sleep(1.0)
    total = sum(load.answers.values())
    say(
        f"member {server.name} added under load: it answered after {joined * 1000:.0f} ms; then removed again"
    )
    say(
        f"{total} requests meanwhile, {len(load.failures)} failed"
        + (f": {load.failures[:3]}" if load.failures else "")
    )


def _kill_amphora(vip: str, identifier: str) -> None:
    namespaces = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.split()
    found = [name for name in namespaces if name.startswith("hy") and _serves(name, vip)]
    if not found:
        raise DemoFailed(f"no amphora has the VIP {vip}")
    processes = subprocess.run(["ip", "netns", "pids", found[0]], capture_output=True, text=True, check=True)
    killed = time.monotonic()
    for process in processes.stdout.split():
        try:
            os.kill(int(process), signal.SIGKILL)
        except ProcessLookupError:
            continue  # it went with its PID namespace
    say("killed every process of the amphora")
    _await(lambda: not _answers(vip), 5, "the killed amphora still answers")
    _await(lambda: _answers(vip), 60, "no traffic 60 s after the amphora was killed")
    say(f"traffic flows again {time.monotonic() - killed:.1f} s later, through a new amphora")
    _await_status(identifier, "provisioning_status", "ACTIVE")


class _QuietServer(http.server.ThreadingHTTPServer):
    """Health checks and killed amphorae reset connections; that is no news."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed asks for more


class WebServer:
    """A small web server that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._server: http.server.ThreadingHTTPServer | None = None

    def listen(self, address: str) -> None:
        """Answer on a free port of this address."""
        name = self.name

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_arguments: object) -> None:
                """Say nothing for each request."""

        Handler.disable_nagle_algorithm = True
        self._server = _QuietServer((address, 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@contextmanager
def web_servers() -> Iterator[list[WebServer]]:
    """The members-to-be; they listen once there is an address to listen on."""
    servers = [WebServer(f"web{number}") for number in range(1, _SERVERS + 1)]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


@contextmanager
def controllers(directory: Path) -> Iterator[None]:
    """``hydria all --ephemeral`` as a child, ready to serve."""
    command = [sys.executable, "-m", "hydria.cli", "all", "--ephemeral", "--state-dir", str(directory)]
    started = time.monotonic()
    with (directory / "hydria.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _await(lambda: process.poll() is not None or _listens(), 30, "the controllers do not come up")
        if process.poll() is not None:
            raise DemoFailed((directory / "hydria.log").read_text().strip().splitlines()[-1])
        say(f"all five controllers run in one process after {time.monotonic() - started:.1f} s")
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Load:
    """Requests through the VIP, on kept and on new connections, until the block ends."""

    def __init__(self, vip: str) -> None:
        self._vip = vip
        self._stopped = threading.Event()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._send, args=(kept,)) for kept in (True, True, False, False)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _send(self, kept: bool) -> None:
        connection = http.client.HTTPConnection(self._vip, timeout=5)
        while not self._stopped.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                name = response.read().decode()
                if response.status == 200:
                    self.answers[name] += 1
                else:
                    self.failures.append(f"status {response.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            if not kept:
                connection.close()
            time.sleep(0.005)
        connection.close()


def _order(gateway: str, servers: list[WebServer]) -> dict[str, Any]:
    members = [{"address": gateway, "protocol_port": one.port, "name": one.name} for one in servers]
    monitor = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
    pool = {"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool |= {"members": members, "healthmonitor": monitor}  # type: ignore[dict-item]  # JSON
    listener = {"name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    return {"name": "demo", "listeners": [listener]}


def _gateway() -> str:
    """The host's own address on the VIP network, where members can listen without further ado."""
    return str(ipaddress.ip_network(settings.load().bridge.vip_cidr_v4)[1])


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request to the API; DemoFailed with its fault when it refuses."""
    connection = http.client.HTTPConnection(*API, timeout=30)
    connection.request(
        method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status >= 400:
        raise DemoFailed(f"{method} {path} → {response.status}: {text.decode()}")
    decoded: dict[str, Any] = json.loads(text) if text else {}
    return decoded


def _get(vip: str) -> str:
    connection = http.client.HTTPConnection(vip, timeout=5)
    connection.request("GET", "/")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return text if response.status == 200 else f"status {response.status}"


def _first_answer(vip: str, since: float) -> float:
    _await(lambda: _answers(vip), 60, "no answer through the VIP within 60 s", pause=0.002)
    return time.monotonic() - since


def _answers(vip: str) -> bool:
    # A SYN that meets nobody is repeated after a second; a new connection is quicker than that.
    connection = http.client.HTTPConnection(vip, timeout=0.2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _await_status(identifier: str, key: str, wanted: str) -> float:
    def reached() -> bool:
        found = call("GET", f"/v2/lbaas/loadbalancers/{identifier}")["loadbalancer"]
        return bool(found[key] == wanted)

    _await(reached, 60, f"{key} is not {wanted} after 60 s")
    return time.monotonic()


def _await(reached: Callable[[], bool], seconds: float, otherwise: str, *, pause: float = 0.01) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise DemoFailed(otherwise)
        time.sleep(pause)


def _serves(namespace: str, vip: str) -> bool:
    found = subprocess.run(
        ["ip", "-n", namespace, "-o", "address"], capture_output=True, text=True, check=False
    )
    return f" {vip}/" in found.stdout


def _listens() -> bool:
    try:
        socket.create_connection(API, timeout=0.2).close()
    except OSError:
        return False
    return True


def _interrupt(*_signal: object) -> None:
    raise KeyboardInterrupt


_STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of the demo, with the seconds since it began."""
    print(f"{time.monotonic() - _STARTED:6.1f} s  {text}", flush=True)


_GO_ON = """
The load balancer stays up until Ctrl-C. Go on, in another terminal:

  curl http://{vip}/
  curl {url}/v2/lbaas/loadbalancers
  export OS_AUTH_TYPE=none OS_ENDPOINT={url}
  openstack loadbalancer list
  openstack loadbalancer member list {pool}
"""

if __name__ == "__main__":
    sys.exit(main())
