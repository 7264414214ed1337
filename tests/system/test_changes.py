"""Random changes of every kind while a load balancer serves: nothing fails, and little stays behind."""

from __future__ import annotations

import random
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.changes import Run, haproxies, load_of, own_failures, settled
from bench.machine import mixed_load, web_server
from bench.measure import Client
from bench.random_changes import TLS, TLS_TOO, Changes

from tests import certificates
from tests.system.deployment import HYDRIA, Deployment, deployed, wait_for
from tests.system.network_lab import Machine, machine

pytestmark = pytest.mark.system

CHANGES = 80
BASE, EXTRA = range(8001, 8004), range(8100, 8140)
OPTIONS = """[haproxy_amphora]
hard_stop_after = 120
[certificates]
renewal_interval = 0.5"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("changes")
    directory.chmod(0o755)
    with deployed(Deployment(directory, "10.224", OPTIONS, embedded=True)) as running:
        yield running


@dataclass
class Certificate:
    """``local:web``, renewed by the command until both listeners show it."""

    deployment: Deployment
    address: str = ""

    def keep(self, *more: str) -> str:
        made = certificates.make("www.example.org")
        files = {"--certificate": made.pem, "--private-key": made.key_pem}
        words = ["certificate", "add", "web", "--config-file", str(self.deployment.config), *more]
        for option, text in files.items():
            path = Path(self.deployment.state_dir, option.strip("-"))
            path.write_text(text)
            words += [option, str(path)]
        subprocess.run([*HYDRIA, *words], check=True, capture_output=True, timeout=60)
        return made.pem

    def renew(self) -> None:
        wanted = self.keep("--replace")
        for port in (TLS, TLS_TOO):
            wait_for(lambda port=port: self.shown(port) == wanted, 15, f"port {port} shows the renewed one")

    def shown(self, port: int) -> str:
        with suppress(OSError):
            return ssl.get_server_certificate((self.address, port), timeout=5)
        return ""


@pytest.fixture(scope="module")
def client() -> Iterator[Machine]:
    with machine("t224cli", ("10.224.202.",)) as made:
        yield made


def test_random_changes_under_load_fail_nothing(deployment: Deployment, client: Machine) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown when it fails
    certificate = Certificate(deployment)
    certificate.keep()
    api, gateway = Client(deployment.port), deployment.gateway
    changes = Changes(api.call, gateway, (client.addresses[0], gateway), EXTRA, seed)
    with (
        web_server(gateway, f"{BASE[0]}-{BASE[-1]}", "base"),
        web_server(gateway, f"{EXTRA[0]}-{EXTRA[-1]}", "extra"),
    ):
        changes.order(BASE, "local:web")
        api.await_active(changes.id)
        changes.extend(BASE)
        api.await_active(changes.id)
        certificate.address = changes.address
        (namespace,) = deployment.namespaces()
        inside = ("ip", "netns", "exec", client.name)
        spec = load_of(changes, rate=300)
        with mixed_load(spec, *inside):
            wait_for(lambda: certificate.shown(TLS), 15, "it serves")
        before = settled(namespace, 20)
        (amphora,) = deployment.state_dir.glob("amphorae/*/agent.log")
        run = Run(changes, api, amphora.read_text, certificate.renew)
        with mixed_load(spec, *inside) as result:
            run.make(CHANGES)
            changes.tidy()
            api.await_active(changes.id)
        after = settled(namespace, 20)
    failures = own_failures(result, changes)
    assert not failures, [(one, run.before(one["at"])) for one in failures[:10]]
    assert all(result["done"].get(kind) for kind in ("kept", "new", "tls", "tcp", "websocket", "udp"))
    assert len(haproxies(namespace)) == 1, "those that were replaced have ended with their connections"
    assert after < before * 1.1 + 3, f"{before:.1f} MB before, {after:.1f} MB after"
    assert 0 < sum(record.reloads for record in run.records) < CHANGES / 2
    live = ("listener allowed cidrs", "certificate renew", "member add", "member weight")
    assert not [record for record in run.records if record.kind in live and record.reloads]
