"""One amphora in network namespaces of the test's own: its agent, what it talks to, and what talks to it.

``outside`` is the rest of the world: controller, members and clients. The amphora's ``eth0`` is on the LB
network, its ``eth1`` on the VIP network, where the members are, too.
"""

import contextlib
import ctypes
import http.client
import http.server
import json
import os
import secrets
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import hydria
from hydria.wire import heartbeat
from hydria.wire.boot import CONTROLLER, Boot
from hydria.wire.encoding import encode
from hydria.wire.state import Applied, DesiredState, Interface, Server, decode_applied
from tests.certificates import SIGNS, identified

T = TypeVar("T")

USER = 64123
KEY = "ab" * 32
AMPHORA_ID = "6f1f8d6c-0000-4000-8000-000000000001"
LB_NETWORK = ("10.77.0.1", "10.77.0.2")  # outside, amphora
VIP_NETWORK = ("10.78.0.1", "10.78.0.2")
VIP, VIP6 = "10.78.0.10", "fd78::10"
MAC = "02:00:00:00:78:02"
ETH1 = Interface(
    mac=MAC,
    mtu=1500,
    addresses=("10.78.0.2/24", "fd78::2/64"),
    vips=("10.78.0.10/24", "fd78::10/64"),
    gateway4="10.78.0.1",
    gateway6="fd78::1",
)
LISTENER = "11111111-0000-4000-8000-000000000001"
POOL = "22222222-0000-4000-8000-000000000001"
BACKEND = f"{POOL}:{LISTENER}"


def server(port: int, **changes: object) -> Server:
    """A member on the outside; its id tells its port."""
    fields = {"backend": BACKEND, "name": f"member-{port}", "address": "10.78.0.1", "port": port}
    return Server(**{**fields, **changes})


def state(generation: int, *servers: Server, **changes: object) -> DesiredState:
    """A desired state with one HTTP listener on both VIPs; ``timeout`` and ``extra`` change its structure."""
    timeout = changes.pop("timeout", "30s")
    extra = changes.pop("extra", "")
    fields = {
        "interfaces": (ETH1,),
        "haproxy": config(servers, timeout=timeout, extra=extra),
        "structure": f"{timeout} {extra}",
        "servers": servers,
    }
    return DesiredState(generation, **{**fields, **changes})


def config(servers: tuple[Server, ...], *, timeout: object = "30s", extra: object = "") -> str:
    lines = [
        f"server {item.name} {f'[{item.address}]' if ':' in item.address else item.address}:{item.port} "
        f"weight {item.weight} {' '.join(item.options)}{'' if item.enabled else ' disabled'}"
        for item in servers
    ]
    joined = "\n    ".join(lines)
    return f"""
global
    stats socket unix@stats.sock mode 600 level admin expose-fd listeners
    server-state-file server-state
    hard-stop-after 60s
    httpclient.ssl.verify none
    maxconn 50000
defaults
    mode http
    timeout client {timeout}
    timeout server {timeout}
    timeout connect 5s
    option redispatch
    load-server-state-from-file global
frontend {LISTENER}
    bind {VIP}:80
    bind [{VIP6}]:80
    default_backend {BACKEND}
backend {BACKEND}
    balance roundrobin
    {joined}
{extra}
"""


class Outside:
    """Runs things in the network namespace of the rest of the world."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._threads = ThreadPoolExecutor(8, initializer=self._enter)

    def run(self, what: Callable[[], T]) -> T:
        """The result of ``what``; threads that it starts are outside as well."""
        return self._threads.submit(what).result(60)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _enter(self) -> None:
        with Path(f"/run/netns/{self._namespace}").open() as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")


class Member(socketserver.ThreadingTCPServer):
    """A web server that answers with its port."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, address: str = "") -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address or VIP_NETWORK[0], port), _Answer)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news."""


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@dataclass
class Lab:
    """The amphora and its surroundings."""

    directory: Path
    namespace: str
    outside: Outside
    process: subprocess.Popen[bytes]
    heartbeats: socket.socket
    authority: "Authority"
    members: dict[int, Member] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    def member(self, port: int, address: str = "") -> Member:
        self.members[port] = self.outside.run(lambda: Member(port, address))
        return self.members[port]

    # The agent's API

    def connection(self, *, certificate: bool = True, seconds: float = 20) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if certificate:
            context.load_cert_chain(self.authority.issue(CONTROLLER))
        return http.client.HTTPSConnection(LB_NETWORK[1], 9443, context=context, timeout=seconds)

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        def ask() -> tuple[int, bytes]:
            connection = self.connection()
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

        return self.outside.run(ask)

    def put(self, desired: DesiredState) -> tuple[int, Applied]:
        status, body = self.request("PUT", "/v1/state", encode(desired))
        return status, decode_applied(body)

    def apply(self, desired: DesiredState) -> Applied:
        status, applied = self.put(desired)
        assert status == 200, (applied, self.log)
        return applied

    def info(self) -> dict[str, object]:
        status, body = self.request("GET", "/v1/info")
        assert status == 200
        return json.loads(body)

    # The service

    def get(self, address: str = VIP, port: int = 80) -> str:
        """Who answers a request to the VIP."""

        def ask() -> str:
            connection = http.client.HTTPConnection(address, port, timeout=5)
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.read().decode() if answer.status == 200 else str(answer.status)

        return self.outside.run(ask)

    def answerers(self, requests: int = 12) -> set[str]:
        return {self.get() for _ in range(requests)}

    # Processes

    def processes(self) -> dict[int, tuple[str, int]]:
        """Host pid -> (name, effective uid) of everything in the amphora's PID namespace."""
        root = self.root_pid()
        space = Path(f"/proc/{root}/ns/pid").readlink()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (entry / "ns/pid").readlink() == space:
                    found[int(entry.name)] = (entry / "comm").read_text().strip(), _effective_uid(entry)
        return found

    def root_pid(self) -> int:
        """Host pid of the amphora's PID 1."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def agent_pid(self) -> int:
        root = self.root_pid()
        for pid, (name, _) in self.processes().items():
            if pid != root and name != "haproxy":
                return pid
        return 0

    def haproxy_pids(self) -> set[int]:
        """Those that serve or retire, not one that only says its version."""
        pids = (pid for pid, (name, _) in self.processes().items() if name == "haproxy")
        return {pid for pid in pids if b"-D" in _arguments(pid)}

    def haproxy(self, command: str) -> str:
        """What HAProxy's runtime API answers."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.settimeout(10)
            stats.connect(str(self.work / "stats.sock"))
            stats.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: stats.recv(65536), b"")).decode()

    # Heartbeats

    def heartbeat(self, wanted: Callable[[heartbeat.Report], bool] = lambda _: True) -> heartbeat.Report:
        """The next one that is as wanted."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                report = heartbeat.decode(self.heartbeats.recv(70000), KEY)
                if wanted(report):
                    return report
        raise AssertionError(f"no such heartbeat; log:\n{self.log}")

    def in_amphora(self, *command: str) -> str:
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command], check=True, capture_output=True, text=True
        ).stdout


class Load:
    """Keep-alive clients, and one that connects anew each time."""

    def __init__(self, lab: Lab, *, keep_alive: int = 3, new: int = 1) -> None:
        self.good, self.failures = 0, []
        self._kinds = [True] * keep_alive + [False] * new
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        lab.outside.run(self._start)

    def _start(self) -> None:
        for keep in self._kinds:
            self._threads.append(threading.Thread(target=self._run, args=(keep,)))
            self._threads[-1].start()

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(VIP, 80, timeout=5)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
                self.good += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.failures.append(error)
                connection.close()
            if not keep:
                connection.close()
            time.sleep(0.002)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _arguments(pid: int) -> list[bytes]:
    """A process's command line; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _effective_uid(entry: Path) -> int:
    status = (entry / "status").read_text()
    return int(status.split("Uid:")[1].split()[1])


def eventually(condition: Callable[[], T], seconds: float = 10) -> T:
    """What the condition returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)
    return value


class Authority:
    """A tiny certificate authority."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self.certificate = directory / "ca.pem"
        builder = self._builder("test CA", self._key).add_extension(x509.BasicConstraints(True, None), True)
        builder = builder.add_extension(SIGNS, True)
        self._write(self.certificate, builder.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, address: str = "") -> Path:
        """A file with a certificate and its key, for a client, or for a server at an address."""
        path = self._directory / f"{name}.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            builder = self._builder(name, key)
            usage = ExtendedKeyUsageOID.SERVER_AUTH if address else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
            named = x509.IPAddress(ip_address(address)) if address else x509.DNSName(name)
            builder = builder.add_extension(x509.SubjectAlternativeName([named]), False)
            self._write(path, builder.sign(self._key, hashes.SHA256()), key)
        return path

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(hours=1),
        )
        return identified(builder, key, self._key)

    @staticmethod
    def _write(
        path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        text = certificate.public_bytes(serialization.Encoding.PEM)
        if key:
            text += key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        path.write_bytes(text)


# As ``python -m hydria.amphora``, for tests that cannot wait as long for a root part that hangs.
_IMPATIENT = """
import sys
from pathlib import Path
from hydria.amphora import main, root_part
root_part.SECONDS = float(sys.argv[2])
main(Path(sys.argv[1]))
"""


def start_amphora(
    namespace: str, directory: Path, *, enclosed: bool = True, root_part_seconds: float | None = None
) -> subprocess.Popen[bytes]:
    """Start an amphora as the netns driver does; or not ``enclosed``, as a virtual machine would."""
    command = ["nsenter", f"--net=/run/netns/{namespace}"]
    if enclosed:
        command += ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if root_part_seconds is None:
        command += [sys.executable, "-m", "hydria.amphora", str(directory)]
    else:
        command += [sys.executable, "-c", _IMPATIENT, str(directory), str(root_part_seconds)]
    source = Path(hydria.__file__).parent.parent
    with (directory / "agent.log").open("a+b") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(source)},
        )


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Lab]:
    """A lab with a running agent, taken down however it ends."""
    with contextlib.ExitStack() as stack:
        name = f"hyt-{secrets.token_hex(3)}"
        amphora, outer = f"{name}-a", f"{name}-o"
        for namespace in (amphora, outer):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "del", namespace)
        _wire(amphora, outer)
        outside = Outside(outer)
        stack.callback(outside.close)
        heartbeats = outside.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stack.callback(heartbeats.close)
        heartbeats.bind((LB_NETWORK[0], 0))
        heartbeats.settimeout(1)
        authority = Authority(directory)
        boot_dir = directory / "boot"
        boot_dir.mkdir(mode=0o700)
        (boot_dir / "server.pem").write_bytes(authority.issue("server", LB_NETWORK[1]).read_bytes())
        (boot_dir / "client_ca.pem").write_bytes(authority.certificate.read_bytes())
        controller = f"{LB_NETWORK[0]}:{heartbeats.getsockname()[1]}"
        Boot(
            amphora_id=AMPHORA_ID,
            bind_host=LB_NETWORK[1],
            heartbeat_key=KEY,
            controllers=(controller,),
            heartbeat_interval=0.2,
            user=USER,
            hard_stop_after=2,
            retired_limit=3,
            haproxy=shutil.which("haproxy") or "haproxy",  # the one that these tests find first
        ).write(boot_dir)
        process = start_amphora(amphora, boot_dir)
        stack.callback(end, process)
        lab = Lab(boot_dir, amphora, outside, process, heartbeats, authority)
        stack.callback(lambda: [member.server_close() for member in lab.members.values()])
        stack.callback(lambda: [member.shutdown() for member in lab.members.values()])
        eventually(lambda: answers(lab))
        yield lab


def answers(lab: Lab) -> bool:
    """Whether the agent answers."""
    try:
        return lab.request("GET", "/v1/state")[0] == 200
    except OSError:
        assert lab.process.poll() is None, lab.log
        return False


def serves(lab: Lab) -> str:
    """Who answers a request to the VIP, "" when nobody does."""
    try:
        return lab.get()
    except OSError:
        return ""


def end(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the amphora's PID 1, and with it of everything else; ``unshare`` waits for it to be gone."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        if not children:
            process.kill()
    process.wait(10)


def _wire(amphora: str, outer: str) -> None:
    """eth0 and eth1 of the amphora, their other ends outside."""
    for index, (ours, theirs) in enumerate((LB_NETWORK, VIP_NETWORK)):
        mac = ("02:00:00:00:77:02", MAC)[index]
        ends = ["type", "veth", "peer", "name", f"out{index}", "netns", outer]
        _ip("-n", amphora, "link", "add", f"eth{index}", "address", mac, *ends)
        _ip("-n", outer, "addr", "add", f"{ours}/24", "dev", f"out{index}")
        _ip("-n", outer, "link", "set", f"out{index}", "up")
        if index == 0:
            _ip("-n", amphora, "addr", "add", f"{theirs}/24", "dev", "eth0")
            _ip("-n", amphora, "link", "set", "eth0", "up")
    _ip("-n", outer, "addr", "add", "fd78::1/64", "dev", "out1", "nodad")
    _ip("-n", outer, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
