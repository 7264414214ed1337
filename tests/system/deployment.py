"""Whole deployments for tests: the five programs as processes, amphorae in namespaces, real traffic."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests import services

PROGRAMS = ("driver-agent", "health-manager", "worker", "housekeeping", "api")
HYDRIA = [sys.executable, "-W", "ignore", "-m", "hydria.cli"]


def wait_for(
    reached: Callable[[], Any], seconds: float, what: str | Callable[[], str], pause: float = 0.05
) -> Any:
    """What ``reached`` returns once it is true. ``what``: what is waited for, for the one who reads why not."""
    deadline = time.monotonic() + seconds
    while True:
        found = reached()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    status: int
    body: Any


@dataclass
class Deployment:
    """Programs that share one configuration; ``state_dir`` holds their logs too."""

    state_dir: Path
    cidr: str  # first two bytes of the networks of this test, like "10.215"
    options: str = ""
    embedded: bool = False
    hook: Path | None = None  # while this file exists HAProxy refuses everything
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.state_dir / "hydria.conf"

    @property
    def gateway(self) -> str:
        """The host's address on the VIP network."""
        return f"{self.cidr}.64.1"

    def write_config(self) -> None:
        self.config.write_text(
            f"""[DEFAULT]
state_dir = {self.state_dir}
[api_settings]
bind_port = {self.port}
[bridge]
lb_network_cidr = {self.cidr}.0.0/24
vip_cidr_v4 = {self.cidr}.64.0/24
vip_cidr_v6 = fd68:7964:{int(self.cidr.partition(".")[2]):x}::/64
[health_manager]
heartbeat_interval = 1
heartbeat_timeout = 4
health_check_interval = 0.5
[house_keeping]
cleanup_interval = 1
orphan_age = 3
[controller_worker]
lease_seconds = 10
retry_max = 5
[driver_agent]
status_socket_path = {self.state_dir}/status.sock
stats_socket_path = {self.state_dir}/stats.sock
get_socket_path = {self.state_dir}/get.sock
{self.options}
"""
        )

    def start(self, *names: str) -> None:
        """Start programs (all five, or ``all`` in one) and wait until they run."""
        chosen = names or (("all",) if self.embedded else PROGRAMS)
        for name in chosen:
            log = (self.state_dir / f"{name}.log").open("ab")
            self.processes[name] = services.spawn(
                [*HYDRIA, name, "--config-file", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            log.close()
        for name in chosen:
            wait_for(
                lambda name=name: self.running(name),
                60,
                lambda name=name: f"{name} runs:\n{self.log(name)[-3000:]}",
            )

    def running(self, name: str) -> bool:
        process = self.processes[name]
        assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)[-3000:]}"
        ready = "Hydria serves at" if name == "all" else f"hydria {name} is running"
        return self.log(name).count(ready) >= self.starts(name)

    def starts(self, name: str) -> int:
        """How often a program has been started: each writes one line when it is ready."""
        self._starts = getattr(self, "_starts", {})
        key = (name, self.processes[name].pid)
        if key not in self._starts:
            self._starts[key] = 1 + sum(other == name for other, _ in self._starts)
        return int(self._starts[key])

    def log(self, name: str) -> str:
        path = self.state_dir / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def kill(self, name: str) -> None:
        """kill -9, and nothing else."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def cleanup(self) -> None:
        if not (self.state_dir / "instance").exists():  # it was ended before it made anything
            return
        subprocess.run([*HYDRIA, "cleanup", "--config-file", str(self.config)], check=True, timeout=120)

    # --- the API

    def request(
        self, method: str, path: str, body: Any = None, timeout: float = 30, root: str = "/v2/lbaas"
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            text = None if body is None else json.dumps(body)
            connection.request(method, f"{root}{path}", text, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        return Answer(response.status, json.loads(answer) if answer else None)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The body of an answer that must not be a refusal."""
        answer = self.request(method, path, body)
        assert answer.status < 400, (method, path, answer)
        return answer.body

    def operate(self, method: str, path: str) -> Any:
        """The same of a request to the operators' API."""
        answer = self.request(method, path, root="/v2/octavia")
        assert answer.status < 400, (method, path, answer)
        return answer.body

    def order(self, ports: list[int], name: str = "lb", **pool: Any) -> dict[str, Any]:
        """A load balancer with an HTTP listener, a pool, a monitor, and members on the host."""
        members = [{"address": self.gateway, "protocol_port": port} for port in ports]
        monitor = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
        default_pool = {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members, "healthmonitor": monitor,
            **pool,
        }  # fmt: skip
        listener = {"name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": default_pool}
        made: dict[str, Any] = self.call(
            "POST", "/loadbalancers", {"loadbalancer": {"name": name, "listeners": [listener]}}
        )["loadbalancer"]
        return made

    def show(self, balancer_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"/loadbalancers/{balancer_id}")["loadbalancer"]
        return shown

    def await_status(
        self, balancer_id: str, wanted: str = "ACTIVE", key: str = "provisioning_status", seconds: float = 60
    ) -> None:
        wait_for(lambda: self.show(balancer_id)[key] == wanted, seconds, f"{key} {wanted} of {balancer_id}")

    def pending(self) -> list[tuple[str, str]]:
        """Every object that is PENDING now."""
        found = []
        for kind in ("loadbalancers", "listeners", "pools", "healthmonitors"):
            for item in self.call("GET", f"/{kind}")[kind]:
                found.append((kind, item["provisioning_status"]))
                if kind == "pools":
                    # A pool may go between the two requests.
                    answer = self.request("GET", f"/pools/{item['id']}/members")
                    members = answer.body["members"] if answer.status == 200 else []
                    found += [("members", member["provisioning_status"]) for member in members]
        return [(kind, status) for kind, status in found if status.startswith("PENDING")]

    # --- the host

    @property
    def instance(self) -> str:
        return (self.state_dir / "instance").read_text().strip()

    def namespaces(self) -> set[str]:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        return {line.split()[0] for line in listed.splitlines() if line.startswith(f"hy{self.instance}")}

    def agent_log(self, amphora_id: str) -> str:
        """What the agent of an amphora has written."""
        return (self.state_dir / "amphorae" / amphora_id / "agent.log").read_text()

    def processes_of(self, namespace: str) -> dict[int, str]:
        """Process id -> command name of an amphora's processes."""
        listed = subprocess.run(
            ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True
        ).stdout
        found = {}
        for process in map(int, listed.split()):
            try:
                found[process] = Path(f"/proc/{process}/comm").read_text().strip()
            except FileNotFoundError:
                continue
        return found


@contextmanager
def deployed(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, running; taken down afterwards with everything it made."""
    deployment.write_config()
    if not deployment.embedded:
        subprocess.run(
            [*HYDRIA, "db", "upgrade", "--config-file", str(deployment.config)], check=True, timeout=60
        )
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()
        deployment.cleanup()


@contextmanager
def web_server(address: str, text: str = "ok") -> Iterator[int]:
    """A member that answers every request with ``text``; its port."""
    listener = socket.create_server((address, 0), backlog=512)
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        reply = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        with connection:
            waiting = b""
            while not ended.is_set():
                try:
                    chunk = connection.recv(65536)
                except OSError:
                    return
                if not chunk:
                    return
                waiting += chunk
                while b"\r\n\r\n" in waiting:
                    _, _, waiting = waiting.partition(b"\r\n\r\n")
                    connection.sendall(reply)

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.close()


def get(address: str, timeout: float = 1.0, port: int = 80) -> str:
    """What a request gets through a VIP; "" for nothing."""
    try:
        return ask(address, timeout, port)
    except (OSError, http.client.HTTPException):
        return ""


def ask(address: str, timeout: float, port: int = 80) -> str:
    """The same; OSError or HTTPException for nothing."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        answer = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        raise http.client.HTTPException(f"status {response.status}")
    return answer


class Traffic:
    """Requests through a VIP, one every 20 ms, each on a new connection, until the block ends."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered = 0
        self.failed: list[tuple[float, str]] = []  # when, and why
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                ask(self.address, timeout=5)
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append((time.time(), repr(error)))
            time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
