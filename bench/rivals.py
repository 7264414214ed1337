"""What Hydria's load balancers are compared with, in namespaces beside them on the VIP network.

A member (nginx), HAProxy alone with the configuration that one would write by hand, and nginx as a
balancer. All have the settings that Hydria's have: one thread, the same ciphers and timeouts, no logs, no
health checks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Machine
from bench.measure import wait_for
from hydria.model.rules import OWASP_B

HTTP, P256, RSA, UDP = 80, 443, 8443, 5353  # ports of every path
KEYS = {P256: "p256", RSA: "rsa"}
NAMESPACES = MEMBER, HAPROXY, NGINX = "bm", "bh", "bn"
_CIPHERS = ":".join(name for name in OWASP_B.split(":") if not name.startswith("TLS_"))
_WEB = "location / { return 200 'All is well.'; }"


@dataclass(frozen=True)
class Rivals:
    """Addresses: of the member itself, of HAProxy and of nginx in front of it."""

    member: str
    haproxy: str
    nginx: str


@contextmanager
def rivals(running: Machine, certificates: Path) -> Iterator[Rivals]:
    """``certificates``: where ``p256.pem`` and ``rsa.pem`` are, each with its key."""
    member, haproxy, nginx = (running.free_address(number) for number in (2, 3, 4))
    with ExitStack() as stack:
        for name, address in zip(NAMESPACES, (member, haproxy, nginx), strict=True):
            stack.enter_context(namespace(running, name, address))
        directory = running.directory
        stack.enter_context(
            _started(MEMBER, ["nginx", "-c", _written(directory, "member.conf", _member(certificates))])
        )
        stack.enter_context(
            _started(NGINX, ["nginx", "-c", _written(directory, "nginx.conf", _nginx(member, certificates))])
        )
        config = _written(directory, "haproxy.cfg", _haproxy(member, certificates))
        stack.enter_context(_started(HAPROXY, ["haproxy", "-db", "-f", config]))
        yield Rivals(member, haproxy, nginx)


@contextmanager
def namespace(running: Machine, name: str, address: str) -> Iterator[None]:
    """A network namespace on the VIP network, with this address."""
    instance = (running.directory / "instance").read_text().strip()
    listed = subprocess.run(
        ["ip", "-br", "link", "show", "type", "bridge"], capture_output=True, text=True, check=True
    )
    bridge = next(
        line.split()[0] for line in listed.stdout.splitlines() if instance in line and "vip" in line
    )
    commands = f"""netns add {name}
link add {name}h type veth peer name eth0 netns {name}
link set {name}h master {bridge} up
-n {name} link set lo up
-n {name} address add {address}/{running.prefix_length} dev eth0
-n {name} link set eth0 up"""
    try:
        for command in commands.splitlines():
            subprocess.run(["ip", *command.split()], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", f"{name}h"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def _started(namespace: str, command: list[str]) -> Iterator[None]:
    """It runs, and listens, until the block ends."""
    inside = ["ip", "netns", "exec", namespace]
    listening = [*inside, "ss", "--no-header", "--listening", "--tcp"]
    process = subprocess.Popen([*inside, *command], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: subprocess.run(listening, capture_output=True, check=True).stdout, 10, 0.02)
        yield
        assert process.poll() is None, f"{command} has ended"
    finally:
        process.terminate()
        process.wait(30)


def _written(directory: Path, name: str, text: str) -> str:
    (directory / name).write_text(text)
    return str(directory / name)


def _nginx_head(name: str) -> str:
    return f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; worker_processes 1; pid /tmp/{name}.pid; error_log stderr crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; multi_accept on; }}
"""


def _tls_servers(certificates: Path, location: str) -> str:
    servers = f"server {{ listen {HTTP} backlog=4096; {location} }}\n"
    for port, key in KEYS.items():
        file = certificates / f"{key}.pem"
        servers += (
            f"server {{ listen {port} ssl backlog=4096; ssl_certificate {file}; ssl_certificate_key {file};"
            f" ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {_CIPHERS}; {location} }}\n"
        )
    return servers


def _member(certificates: Path) -> str:
    return f"""{_nginx_head("member")}
http {{ access_log off; keepalive_requests 100000000; default_type text/plain;
{_tls_servers(certificates, _WEB)} }}
stream {{ server {{ listen {UDP} udp; return pong; }} }}
"""


def _nginx(member: str, certificates: Path) -> str:
    proxy = 'location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    return f"""{_nginx_head("balancer")}
http {{ access_log off; keepalive_requests 100000000;
upstream web {{ server {member}:{HTTP}; keepalive 256; keepalive_requests 100000000; }}
{_tls_servers(certificates, proxy)} }}
stream {{ server {{ listen {UDP} udp; proxy_pass {member}:{UDP}; proxy_timeout 60s; }} }}
"""


def _haproxy(member: str, certificates: Path) -> str:
    tls = f"ciphers {_CIPHERS} ssl-min-ver TLSv1.2 alpn h2,http/1.1"
    return f"""
global
    nbthread 1
    maxconn 9000
    httpclient.ssl.verify none
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    http-reuse safe
frontend web
    bind :{HTTP}
    bind :{P256} ssl crt {certificates}/p256.pem {tls}
    bind :{RSA} ssl crt {certificates}/rsa.pem {tls}
    default_backend members
backend members
    server one {member}:{HTTP}
"""


def answers(address: str) -> None:
    """Wait until somebody does."""
    command = ["curl", "-sf", "-m", "1", "-o", "/dev/null", f"http://{address}/"]
    wait_for(lambda: subprocess.run(command, check=False).returncode == 0, 30, 0.1)
